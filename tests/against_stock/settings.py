"""The settings of fairseq under which the ``baseline`` architectures must do what the stock ones do.

Options are written for stock architectures. In options ``{corpora}`` is the folder of :mod:`corpora`, ``{folder}`` the
setting's own and ``{models}`` that of ``MODELS``. Options that begin with a word, not a dash, begin with the corpus.
"""

_ENCODER = "--encoder-embed-dim 16 --encoder-ffn-embed-dim 24 --encoder-layers 2 --encoder-attention-heads 2"
_DECODER = "--decoder-embed-dim 16 --decoder-ffn-embed-dim 24 --decoder-layers 2 --decoder-attention-heads 2"
_EVERY = (
    "--cpu --lr 0.01 --max-update 4 --max-tokens 100 --num-workers 0 --seed 7 "
    "--dropout 0.1 --no-epoch-checkpoints --log-interval 1 --log-format simple"
)
#: what stands for an option where a setting does not have it, with options that only go with this choice
DEFAULTS = {
    # a larger epsilon than usual: else Adam makes steps of the rounding errors in gradients that should be 0
    "--optimizer": "adam --adam-eps 1e-4",
    "--criterion": "label_smoothed_cross_entropy --label-smoothing 0.1",
}
_SENTENCES = "--task sentence_prediction --criterion sentence_prediction --classification-head-name the_head"
_PREDICT = f"{_SENTENCES} --num-classes 2 --max-positions 32 --init-token 0 --separator-token 2"
_FROM_MASKED = "--restore-file {models}/masked.pt --reset-optimizer --reset-dataloader --reset-meters"

_TRANSLATION = f"--arch transformer_iwslt_de_en {_ENCODER} {_DECODER} {_EVERY}"

#: kind of training -> its corpus, the options that every setting has, and what is done with the checkpoint at the end
KINDS = {
    "translation": (
        "bin",
        _TRANSLATION,
        "generate DATA --cpu --gen-subset valid --beam 3 --nbest 2 --max-len-b 12 --num-workers 0 "
        "--skip-invalid-size-inputs-valid-test",
    ),
    "course": ("bin", _TRANSLATION, None),  # of a training: its batches, optimizer, validations and checkpoints
    "lm": (
        "mono",
        f"--task language_modeling --criterion cross_entropy --arch transformer_lm {_DECODER} "
        f"--decoder-input-dim 16 --decoder-output-dim 16 {_EVERY} --tokens-per-sample 16 --sample-break-mode none",
        "eval-lm DATA --cpu --gen-subset valid --tokens-per-sample 16 --sample-break-mode none --batch-size 5 "
        "--output-word-probs --num-workers 0",
    ),
    "masked": (
        "mono",
        f"--task masked_lm --criterion masked_lm --arch roberta_base {_ENCODER} {_EVERY} --tokens-per-sample 16 "
        "--sample-break-mode none --max-positions 32",
        "validate DATA --cpu --task masked_lm --valid-subset valid --batch-size 7 --num-workers 0",
    ),
    "sentences": (
        "classes",
        f"--arch roberta_base {_ENCODER} {_EVERY} {_PREDICT} {_FROM_MASKED}",
        f"validate DATA --cpu {_SENTENCES} --valid-subset valid --batch-size 7 --num-workers 0",
    ),
}

_FINETUNE = "--finetune-from-model {folder}/checkpoints/checkpoint_last.pt --save-dir {folder}/checkpoints/again"
_ADAPTIVE = "--criterion adaptive_loss --ddp-backend legacy_ddp --adaptive-softmax-cutoff 8,16"
_TIED = f"{_ADAPTIVE} --adaptive-input --adaptive-input-cutoff 8,16 --tie-adaptive-weights --tie-adaptive-proj"
_EPOCHS = "--max-epoch 3 --max-update 100"
_BLEU = (
    '--eval-bleu --eval-tokenized-bleu --eval-bleu-remove-bpe --eval-bleu-args \'{{"beam":2,"max_len_b":10}}\' '
    "--best-checkpoint-metric bleu --maximize-best-checkpoint-metric"
)

#: kind -> name -> options; several are trainings into one folder, one after the other
TRAININGS = {
    "translation": {
        "defaults": "",
        # criteria
        "cross entropy": "--criterion cross_entropy",
        "label smoothing, accuracy": "--criterion label_smoothed_cross_entropy --label-smoothing 0.3 --report-accuracy",
        "ignored prefix": "--criterion label_smoothed_cross_entropy --ignore-prefix-size 1",
        "guided alignment": "joined --criterion label_smoothed_cross_entropy_with_alignment --load-alignments",
        "adaptive softmax": f"{_ADAPTIVE} --adaptive-softmax-dropout 0.1",
        # embeddings and positions
        "shared decoder embeddings": "--share-decoder-input-output-embed",
        "all embeddings shared": "joined --share-all-embeddings",
        "learned positions": "--encoder-learned-pos --decoder-learned-pos",
        "no positions": "--no-token-positional-embeddings",
        "normalised embeddings": "--layernorm-embedding",
        "unscaled embeddings": "--no-scale-embedding",
        "unequal widths": "--encoder-embed-dim 24 --encoder-attention-heads 3 --decoder-output-dim 12",
        # layers
        "pre-norm": "--encoder-normalize-before --decoder-normalize-before",
        "pre-norm decoder": "--decoder-normalize-before",
        "gelu": "--activation-fn gelu",
        "four heads": "--encoder-attention-heads 4 --decoder-attention-heads 8",
        "one layer and three": "--encoder-layers 1 --decoder-layers 3",
        "no encoder layers": "--encoder-layers 0",
        "no decoder layers": "--decoder-layers 0",
        "layer drop": "--encoder-layerdrop 0.4 --decoder-layerdrop 0.4",
        "layers to keep": (
            "--encoder-layers 3 --decoder-layers 3 --encoder-layerdrop 0.1 --decoder-layerdrop 0.1",
            "--encoder-layers 3 --decoder-layers 3 --encoder-layers-to-keep 0,2 --decoder-layers-to-keep 0,2 "
            f"{_FINETUNE}",
        ),
        "cross and self attention in one": "--cross-self-attention",
        "no cross attention": "--no-cross-attention",
        "big": f"--arch transformer_vaswani_wmt_en_de_big {_ENCODER} {_DECODER}",
        "big, t2t": f"--arch transformer_wmt_en_de_big_t2t {_ENCODER} {_DECODER}",
        # dropout and noise
        "no dropout": "--dropout 0",
        "attention dropout": "--attention-dropout 0.2",
        "activation dropout": "--activation-dropout 0.2",
        "relu dropout": "--relu-dropout 0.2",
        "all dropouts": "--dropout 0.3 --attention-dropout 0.1 --activation-dropout 0.1",
        "noise of product quantisation": "--quant-noise-pq 0.2 --quant-noise-pq-block-size 4",
        "checkpointed activations": "--checkpoint-activations",
        "offloaded activations": "--checkpoint-activations --offload-activations",
    },
    "course": {
        "defaults": "",
        # batches
        "batches of sentences": "--batch-size 7 --batch-size-valid 4",
        "small batches": "--max-tokens 40 --max-tokens-valid 50 --required-batch-size-multiple 1",
        "length buckets": "--num-batch-buckets 3",
        "lengths of a multiple": "--required-seq-len-multiple 8",
        "delayed updates": "--update-freq 2,3",
        # the option takes a default of True back
        "source padded right": "--left-pad-source",
        "target padded left": "--left-pad-target",
        "truncated source": "--truncate-source --max-source-positions 5",
        "long sentences left out": "--max-source-positions 6 --max-target-positions 6 "
        "--skip-invalid-size-inputs-valid-test",
        "upsampled": "--upsample-primary 2",
        "curriculum": "--curriculum 1 --max-update 6",
        "grouped shuffling": "--grouped-shuffling --update-freq 2 --update-ordered-indices-seed --max-update 6",
        "no remainder": "--skip-remainder-batch --update-freq 2",
        "loading process": "--num-workers 1",
        "two loading processes": "--num-workers 2 --data-buffer-size 2",
        "raw text": "raw --dataset-impl raw",
        # optimizers and schedules
        "decay, betas": "--optimizer adam --adam-eps 1e-4 --weight-decay 0.1 --adam-betas (0.8,0.9) --use-old-adam",
        "adafactor": "--optimizer adafactor --scale-parameter --clip-threshold 0.5",
        "adagrad": "--optimizer adagrad",
        "adadelta": "--optimizer adadelta --lr 1",
        "adamax": "--optimizer adamax --adamax-eps 1e-4 --adamax-betas (0.8,0.9)",
        "nag": "--optimizer nag --momentum 0.9",
        "sgd": "--optimizer sgd --momentum 0.5 --lr 0.1",
        "inverse square root": "--lr-scheduler inverse_sqrt --warmup-updates 2 --warmup-init-lr 0.001",
        "cosine": "--lr-scheduler cosine --warmup-updates 1 --lr-period-updates 3 --min-lr 0.001",
        "polynomial": "--lr-scheduler polynomial_decay --total-num-update 5 --warmup-updates 1 --power 2",
        "triangular": "--lr-scheduler triangular --max-lr 0.02 --lr-period-updates 3",
        "three stages": "--lr-scheduler tri_stage --phase-ratio [0.3,0.3,0.4]",
        "plateau": f"--lr-scheduler reduce_lr_on_plateau --lr-patience 0 --lr-threshold 0.5 {_EPOCHS}",
        "rates of epochs": f"--lr 0.01,0.005 --force-anneal 2 --lr-shrink 0.5 {_EPOCHS}",
        "clipping": "--clip-norm 0.1",
        "mean over sentences": "--sentence-avg",
        "moving average": "--store-ema --ema-decay 0.5 --ema-fp32",
        "moving average, later": "--store-ema --ema-decay 0.9 --ema-start-update 2 --ema-update-freq 2",
        "autocast": "--amp",
        # validation and checkpoints
        "validation between": "--validate-interval-updates 2 --max-valid-steps 1 --fixed-validation-seed 3",
        "validation later": f"--validate-after-updates 4 --validate-interval 2 {_EPOCHS}",
        "no validation": "--disable-validation",
        "BLEU": f"{_BLEU} --keep-best-checkpoints 2 --save-interval-updates 2",
        "best by another number": "--best-checkpoint-metric nll_loss --save-interval-updates 1",
        "patience": f"--patience 1 --maximize-best-checkpoint-metric {_EPOCHS}",
        "checkpoints of updates": "--save-interval-updates 1 --keep-interval-updates 2",
        "checkpoints by a pattern": "--save-interval-updates 1 --keep-interval-updates 1 "
        "--keep-interval-updates-pattern 2",
        "checkpoints of epochs": f"--keep-last-epochs 1 --save-interval 1 {_EPOCHS}",
        "checkpoints of weights": "--no-save-optimizer-state",
        "no last checkpoint": "--no-last-checkpoints --save-interval-updates 2",
        "nothing saved": "--no-save",
        "resumed": ("--max-update 2", "--max-update 5"),
        "resumed, layers dropped": ("--decoder-layerdrop 0.3 --max-update 2", "--decoder-layerdrop 0.3 --max-update 5"),
        "resumed, average": ("--store-ema --max-update 2", "--store-ema --max-update 5"),
        "resumed, optimizer reset": (
            "--max-update 2",
            "--max-update 5 --reset-optimizer --reset-lr-scheduler --reset-meters",
        ),
        "resumed, data reset": ("--max-update 2", "--max-update 5 --reset-dataloader"),
        "resumed, optimizer changed": ("--max-update 2", "--max-update 5 --optimizer-overrides \"{{'lr':[0.1]}}\""),
        "resumed from a file": (
            "--max-update 2 --save-interval-updates 1",
            "--max-update 5 --restore-file {folder}/checkpoints/checkpoint_1_1.pt",
        ),
        "finetuned": (
            "--max-update 2",
            f"--max-update 4 {_FINETUNE}",
        ),
        # other tasks
        "several pairs of languages": "joined --task translation_multi_simple_epoch --lang-pairs de-en,en-de "
        "--encoder-langtok src --decoder-langtok --sampling-method temperature --share-all-embeddings",
    },
    "lm": {
        "defaults": "",
        "label smoothing": "--criterion label_smoothed_cross_entropy --label-smoothing 0.2",
        "whole sentences": "--sample-break-mode eos",
        "complete": "--sample-break-mode complete --tokens-per-sample 12",
        "complete documents": "--sample-break-mode complete_doc --tokens-per-sample 12",
        "symbol at the beginning": "--add-bos-token",
        "fixed length": "--pad-to-fixed-length --pad-to-fixed-bsz --batch-size 4",
        "shortened": "--sample-break-mode eos --shorten-method random_crop --tokens-per-sample 5",
        "tied embeddings": "--share-decoder-input-output-embed",
        "widths": "--decoder-input-dim 8 --decoder-output-dim 12",
        "learned positions": "--decoder-learned-pos",
        "no positions": "--no-token-positional-embeddings",
        "normalised embeddings": "--layernorm-embedding --no-scale-embedding",
        "adaptive": f"{_TIED} --adaptive-input-factor 2 --adaptive-softmax-factor 2",
        "characters": "--character-embeddings --character-filters [(1,4),(2,6)] --char-embedder-highway-layers 1",
        "pre-norm": "--decoder-normalize-before",
        "pre-norm, no final norm": "--decoder-normalize-before --no-decoder-final-norm",
        "gpt": f"--arch transformer_lm_gpt2_tiny {_DECODER} --decoder-input-dim 16 --decoder-output-dim 16",
        "wiki103": f"--arch transformer_lm_wiki103 {_DECODER} --decoder-input-dim 16 --decoder-output-dim 16 {_TIED}",
        "no layers": "--decoder-layers 0",
        "layer drop": "--decoder-layerdrop 0.4",
        "layers to keep": (
            "--decoder-layers 3 --decoder-layerdrop 0.1",
            f"--decoder-layers 3 --decoder-layers-to-keep 0,2 {_FINETUNE}",
        ),
        "scaled attention": "--scale-attn --scale-heads",
        "scaled layers": "--scale-fc --scale-resids --decoder-normalize-before",
        "noise of product quantisation": "--quant-noise-pq 0.2 --quant-noise-pq-block-size 4",
        "checkpointed activations": "--checkpoint-activations",
        "all dropouts": "--dropout 0.3 --attention-dropout 0.1 --activation-dropout 0.1",
        "delayed updates": "--update-freq 2 --batch-size 3 --sentence-avg",
        "resumed": ("--max-update 2", "--max-update 5"),
    },
    "masked": {
        "defaults": "",
        "whole sentences": "--sample-break-mode eos",
        "complete": "--sample-break-mode complete --tokens-per-sample 12",
        "masks": "--mask-prob 0.4 --leave-unmasked-prob 0.2 --random-token-prob 0.3 --freq-weighted-replacement",
        "spans": "--mask-multiple-length 2 --mask-stdev 1",
        "whole words": "--mask-whole-words",
        "shortened": "--sample-break-mode eos --shorten-method truncate --tokens-per-sample 5",
        "untied": "--untie-weights-roberta",
        "pre-norm": "--encoder-normalize-before",
        "no dropout": "--dropout 0 --attention-dropout 0",
        "all dropouts": "--dropout 0.3 --attention-dropout 0.1 --activation-dropout 0.1",
        "layer drop": "--encoder-layerdrop 0.4",
        "layers to keep": (
            "--encoder-layers 3 --encoder-layerdrop 0.1",
            f"--encoder-layers 3 --encoder-layers-to-keep 0,2 {_FINETUNE}",
        ),
        "noise of product quantisation": "--quant-noise-pq 0.2 --quant-noise-pq-block-size 4",
        "penalty on heads": "--mha-reg-scale-factor 0.1",
        "resumed": ("--max-update 2", "--max-update 5"),
        "loading process": "--num-workers 1 --max-epoch 2 --max-update 100",
    },
    "sentences": {
        "classes": "",
        "accuracy": "--best-checkpoint-metric accuracy --maximize-best-checkpoint-metric --no-shuffle",
        "dropouts of the pooler": "--pooler-dropout 0.2 --pooler-activation-fn relu --dropout 0 --attention-dropout 0",
        "regression": "scores --num-classes 1 --regression-target --best-checkpoint-metric loss",
        "truncated": "--shorten-method truncate --max-positions 8 --restore-file checkpoint_last.pt",
        # fairseq cannot load its last checkpoint
        "normalised head": "--spectral-norm-classification-head --no-last-checkpoints",
        "noise of product quantisation": "--quant-noise-pq 0.2 --quant-noise-pq-block-size 4 "
        "--restore-file checkpoint_last.pt",
        "resumed": (
            "--max-update 2",
            "--max-update 5 --restore-file checkpoint_last.pt",
        ),
    },
}

#: models that stock trains for the settings below, and their options; ours gets the same weights, converted
MODELS = {
    "translation": "translation --max-update 60 --share-decoder-input-output-embed",
    "second": "translation --max-update 50 --seed 2 --share-decoder-input-output-embed",
    "pre-norm": "translation --max-update 40 --encoder-normalize-before --decoder-normalize-before "
    "--encoder-learned-pos --decoder-learned-pos --left-pad-source",
    "joined": "translation joined --max-update 40 --share-all-embeddings",
    "adaptive": f"translation --max-update 40 {_ADAPTIVE}",
    "cross-self": "translation --max-update 40 --cross-self-attention",
    "no-cross": "translation --max-update 40 --no-cross-attention",
    "lm": "lm --max-update 40 --sample-break-mode eos",
    "blocks": "lm --max-update 40",
    "lm-adaptive": f"lm --max-update 40 {_TIED}",
    "masked": "masked --max-update 10",
}

#: command -> options that each of its settings has
COMMON = {
    "generate": "--gen-subset valid --max-len-b 12",
    "interactive": "--max-len-b 12",
    "eval-lm": "--gen-subset valid",
    "validate": "",
}
_LM = "--tokens-per-sample 16 --sample-break-mode none --batch-size 5"

#: name -> command, model and options
GENERATIONS = {
    # search
    "greedy": "generate translation --beam 1",
    "beam 5": "generate translation --beam 5",
    "n best": "generate translation --beam 6 --nbest 6",
    "beam as wide as the vocabulary": "generate translation --beam 30 --nbest 30 --max-len-b 5",
    "length penalty": "generate translation --beam 4 --nbest 4 --lenpen 0.2",
    "length reward": "generate translation --beam 4 --nbest 2 --lenpen 2.5",
    "unnormalised": "generate translation --beam 4 --nbest 4 --unnormalized",
    "unknown penalty": "generate translation --beam 4 --unkpen 3",
    "unknown reward": "generate translation --beam 4 --nbest 2 --unkpen -3",
    "shortest length": "generate translation --beam 4 --min-len 6",
    "longest length": "generate translation --beam 4 --max-len-a 0.5 --max-len-b 2",
    "length of the source": "generate translation --beam 4 --match-source-len",
    "no early stop": "generate translation --beam 4 --no-early-stop",
    "temperature": "generate translation --beam 4 --nbest 2 --temperature 2.5",
    "no repeated pairs": "generate translation --beam 4 --nbest 2 --no-repeat-ngram-size 2",
    "prefixes": "generate translation --beam 4 --prefix-size 1",
    "long prefixes": "generate translation --beam 4 --nbest 2 --prefix-size 3",
    "diverse groups": "generate translation --beam 4 --nbest 4 --diverse-beam-groups 2 --diverse-beam-strength 0.7",
    "diverse siblings": "generate translation --beam 4 --nbest 4 --diversity-rate 0.5",
    "sampling": "generate translation --sampling --beam 3 --nbest 3 --seed 5",
    "sampling of the best": "generate translation --sampling --sampling-topk 4 --beam 3 --nbest 3 --seed 5",
    "sampling of the mass": "generate translation --sampling --sampling-topp 0.7 --beam 2 --nbest 2 --seed 5 "
    "--temperature 1.5",
    "dropout kept": "generate translation --beam 3 --retain-dropout --seed 5",
    "dropout kept in the decoder": "generate translation --beam 1 --retain-dropout --retain-dropout-modules "
    "TransformerDecoderLayer --seed 5 --model-overrides \"{{'attention_dropout':0.3}}\"",
    # what is printed
    "scores of references": "generate translation --score-reference --print-alignment",
    "soft alignment": "generate translation --beam 4 --nbest 2 --print-alignment soft",
    "hard alignment": "generate translation --beam 4 --print-alignment hard",
    "steps": "generate translation --beam 4 --print-step",
    "history": "generate translation --beam 4 --retain-iter-history",
    "words for unknown ones": "generate translation raw --dataset-impl raw --gen-subset test --beam 4 "
    "--replace-unk --unkpen -3",
    "words for unknown ones, aligned": "generate translation raw --dataset-impl raw --gen-subset test "
    "--replace-unk --print-alignment --beam 4 --unkpen -3",
    "without byte pairs": "generate translation --beam 4 --post-process",
    "quiet, sacrebleu": "generate translation --beam 4 --quiet --scoring sacrebleu",
    "results in a file": "generate translation --beam 4 --results-path {folder}/results",
    # several models
    "two models": "generate translation --beam 4 --nbest 2 --path {models}/translation.pt:{models}/second.pt",
    "two models, aligned": "generate translation --path {models}/translation.pt:{models}/second.pt --print-alignment "
    "soft --beam 2",
    "a model's parts": "generate translation --beam 4 --path {models}/translation.pt:{models}/second.pt --sampling "
    "--nbest 4 --seed 3",
    "a language model's help": "generate translation --beam 4 --nbest 2 --lm-path {models}/lm.pt --lm-weight 0.3",
    # data
    "batches of three": "generate translation --beam 4 --batch-size 3",
    "one sentence a batch": "generate translation --beam 4 --batch-size 1",
    "few tokens a batch": "generate translation --beam 4 --max-tokens 20 --required-batch-size-multiple 1",
    "source padded right": "generate translation --beam 4 --left-pad-source",
    "long sentences left out": "generate translation --beam 4 --max-source-positions 5 --max-target-positions 5 "
    "--skip-invalid-size-inputs-valid-test",
    "truncated source": "generate translation --beam 4 --truncate-source --max-source-positions 4",
    "loading process": "generate translation --beam 4 --num-workers 1",
    # other models
    "pre-norm": "generate pre-norm --left-pad-source --beam 4 --nbest 2 --print-alignment",
    "shared embeddings": "generate joined --beam 4 --nbest 2",
    "adaptive softmax": "generate adaptive --beam 4 --nbest 2",
    "cross and self attention in one": "generate cross-self --beam 4 --nbest 2",
    "no cross attention": "generate no-cross --beam 4 --nbest 2",
    "no cross attention, aligned": "generate no-cross --beam 4 --print-alignment",
    "fewer layers": "generate translation --beam 4 --model-overrides "
    "\"{{'encoder_layers_to_keep':'1','decoder_layers_to_keep':'0'}}\"",
    # fairseq-interactive
    "interactive": "interactive translation --input {corpora}/input.de --beam 4 --nbest 2",
    "interactive, buffered": "interactive translation --input {corpora}/input.de --buffer-size 4 --batch-size 3 "
    "--beam 4 --print-alignment",
    "interactive, for unknown ones": "interactive translation --input {corpora}/input.de --replace-unk {corpora}/words "
    "--unkpen -3 --beam 4",
    "constraints": "interactive translation --input {corpora}/constrained.de --constraints ordered --beam 6 "
    "--batch-size 3 --buffer-size 4",
    "unordered constraints": "interactive translation --input {corpora}/constrained.de --constraints unordered "
    "--beam 6",
    "causal language model": "interactive lm --task language_modeling --sample-break-mode eos "
    "--input {corpora}/input.de --beam 3 --nbest 2 --max-len-b 10 --buffer-size 4",
    "causal language model, sampling": "interactive lm --task language_modeling --sample-break-mode eos "
    "--input {corpora}/input.de --sampling --beam 2 --nbest 2 --max-len-b 10 --seed 3",
    "causal language model, prefixes": "generate lm --task language_modeling --sample-break-mode eos "
    "--prefix-size 2 --beam 3 --max-len-b 10 --batch-size 4",
    # fairseq-eval-lm
    "perplexity": f"eval-lm blocks {_LM}",
    "perplexity of words": f"eval-lm blocks {_LM} --output-word-probs --output-word-stats",
    "perplexity, some words": f"eval-lm blocks {_LM} --softmax-batch 7",
    "perplexity with context": f"eval-lm blocks {_LM} --context-window 5 --output-word-probs",
    "perplexity with much context": f"eval-lm blocks {_LM} --context-window 15 --output-word-probs",
    "perplexity of sentences": f"eval-lm lm {_LM} --sample-break-mode eos --output-word-probs",
    "perplexity of short blocks": f"eval-lm blocks {_LM} --sample-break-mode complete --tokens-per-sample 9",
    "perplexity, adaptive": f"eval-lm lm-adaptive {_LM} --output-word-probs",
    "perplexity, a shard": f"eval-lm blocks {_LM} --num-shards 2 --shard-id 1",
    # fairseq-validate
    "validation": "validate translation --task translation --valid-subset valid,test --batch-size 7",
    "validation, other criterion": "validate translation --task translation --valid-subset valid --criterion "
    "cross_entropy --max-tokens 60",
    "validation of a masked model": "validate masked --task masked_lm --valid-subset valid --batch-size 7",
}

#: settings in which stock cannot do without the plugin's repairs, and why; in all others stock never sees the plugin
REPAIRED = {
    "course: length buckets": "numpy has no percentile(interpolation=) any more",
    **dict.fromkeys(
        (
            *("lm: whole sentences", "lm: shortened", "masked: whole sentences", "masked: shortened"),
            *("model: lm", "use: causal language model", "use: causal language model, sampling"),
            *("use: causal language model, prefixes", "use: perplexity of sentences"),
        ),
        "numpy has no compat.long any more",
    ),
    **dict.fromkeys(
        ("lm: complete", "lm: complete documents"),
        "eval-lm takes blocks of 1,024 tokens and leaves out what is longer than the model",
    ),
    "masked: whole words": "the task asks itself for args, which it has not",
    "masked: loading process": "a loading process gives every epoch the masks of the first",
    "translation: no encoder layers": "the encoder asks its first layer for something",
    "translation: layers to keep": "the option arrives as a list",
    "lm: layers to keep": "the number of layers stays as it was",
    "use: fewer layers": "what is pruned is pruned again",
    "use: dropout kept in the decoder": "the option reaches other modules than its documentation names",
    "use: no repeated pairs": "padding is compared, and nothing is found to be repeated",
    "use: steps": "beam search has no steps to print",
    "use: history": "beam search has no history to print",
    "use: words for unknown ones": "no value of the option is taken for a file's name",
    "use: no cross attention, aligned": "there are no weights to print",
    "use: interactive, for unknown ones": "a hypothesis without attention weights has no words to replace",
    "use: words for unknown ones, aligned": "no value of the option is taken for a file's name",
}

#: settings in which stock must take the longer of its two ways through attention, and why the shorter one is wrong
LONG_WAY = {
    f"{kind}: noise of product quantisation": "it passes over the modules that make the noise"
    for kind in ("translation", "lm", "masked", "sentences")
}

#: a thirtieth of the settings, among them those that take the least time, which the test suite runs; fairseq-eval-lm
#: and fairseq-validate end the trainings of language models and of masked ones
SUITE = (
    "translation: cross and self attention in one",
    "lm: layer drop",
    "masked: spans",
    "course: resumed",
    "use: n best",
    "use: no repeated pairs",
    "use: soft alignment",
    "use: interactive, buffered",
)
