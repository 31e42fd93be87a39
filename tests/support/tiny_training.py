"""Tiny trainings with fairseq's own commands, inside one process.

As a script (``python tiny_training.py CORPUS OUT``) it runs every training of ``KINDS`` without the plugin: stock
fairseq, for comparison.
"""

import random
import sys
from pathlib import Path

SMALL = (
    "--encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 24 "
    "--decoder-ffn-embed-dim 24 --encoder-attention-heads 2 --decoder-attention-heads 2"
)
TRANSLATE = f"--arch transformer_iwslt_de_en {SMALL} --criterion label_smoothed_cross_entropy --label-smoothing 0.1"
#: kind of checkpoint -> the options that make it
KINDS = {
    "adam": f"bin {TRANSLATE} --optimizer adam --lr-scheduler inverse_sqrt --warmup-updates 2 --clip-norm 0.5",
    "nag_big": f"bin {TRANSLATE.replace('_iwslt_de_en', '')} --optimizer nag --share-decoder-input-output-embed",
    "sgd_plateau": f"bin {TRANSLATE} --optimizer sgd --lr-scheduler reduce_lr_on_plateau --encoder-normalize-before",
    "bleu": f"bin {TRANSLATE} --optimizer adagrad --eval-bleu --eval-bleu-detok space --best-checkpoint-metric bleu "
    "--maximize-best-checkpoint-metric --keep-best-checkpoints 2 --patience 3",
    "adafactor": f"bin {TRANSLATE} --optimizer adafactor --lr-scheduler cosine --warmup-updates 1",
    "ema": f"bin {TRANSLATE} --optimizer adam --store-ema --ema-fp32 --report-accuracy --update-freq 2",
    "multilingual": f"bin --task multilingual_translation --lang-pairs de-en --arch multilingual_transformer {SMALL} "
    "--criterion label_smoothed_cross_entropy --optimizer adam",
    "simple_epoch": f"bin --task translation_multi_simple_epoch --langs de,en --lang-pairs de-en --decoder-langtok "
    f"{TRANSLATE} --optimizer adam",
    "amp": f"bin {TRANSLATE} --optimizer adam --amp",
    "lm": "mono --task language_modeling --arch transformer_lm --decoder-layers 1 --decoder-embed-dim 16 "
    "--decoder-ffn-embed-dim 16 --decoder-attention-heads 2 --tokens-per-sample 32 --optimizer adam",
    "mlm": "mono --task masked_lm --criterion masked_lm --arch roberta_base --encoder-layers 1 --encoder-embed-dim 16 "
    "--encoder-ffn-embed-dim 16 --encoder-attention-heads 2 --tokens-per-sample 32 --max-positions 64 --optimizer adam",
}
#: for more than a few updates, of which only the end is looked at: else every second one is validated and saved
AT_THE_END = "--save-interval-updates 0 --save-interval 1000 --validate-interval 1000"


def write_corpus(folder):
    """A bilingual corpus whose target is the source backwards, binarised: ``bin`` (de-en) and ``mono`` (en)."""
    from fairseq import options
    from fairseq_cli import preprocess

    words = random.Random(1)
    for split, size in (("train", 60), ("valid", 30)):
        lines = [[f"w{words.randrange(20)}" for _ in range(words.randint(2, 6))] for _ in range(size)]
        (folder / f"{split}.de").write_text("".join(" ".join(line) + "\n" for line in lines))
        (folder / f"{split}.en").write_text("".join(" ".join(line[::-1]) + "\n" for line in lines))
        (folder / f"{split}.txt").write_text((folder / f"{split}.en").read_text())
    parser = options.get_preprocessing_parser()
    both = ["--trainpref", f"{folder}/train", "--validpref", f"{folder}/valid", "--testpref", f"{folder}/valid"]
    preprocess.main(parser.parse_args(["-s", "de", "-t", "en", *both, "--destdir", f"{folder}/bin"]))
    text = ["--trainpref", f"{folder}/train.txt", "--validpref", f"{folder}/valid.txt"]
    preprocess.main(parser.parse_args(["--only-source", *text, "--destdir", f"{folder}/mono"]))


def train(corpus, save_dir, options, updates=3):
    """``fairseq-train`` in this process; returns the path of ``checkpoint_last.pt``."""
    from fairseq import checkpoint_utils
    from fairseq import options as fairseq_options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq_cli import train as fairseq_train

    checkpoint_utils.save_checkpoint.__dict__.pop("best", None)  # fairseq keeps it for the process
    data, *rest = options.split()
    common = "--cpu --max-tokens 160 --lr 0.01 --save-interval-updates 2 --no-epoch-checkpoints --num-workers 0"
    arguments = [f"{corpus}/{data}", *common.split(), "--max-update", str(updates), "--save-dir", str(save_dir), *rest]
    parsed = fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser(), arguments)
    fairseq_train.main(convert_namespace_to_omegaconf(parsed))
    return Path(save_dir) / "checkpoint_last.pt"


def trained_loss(path):
    """The sum of the losses that a checkpoint's training has recorded."""
    from fairseq_plugins.checkpoints.safe_load import load_checkpoint  # not where this file runs stock fairseq

    metrics = load_checkpoint(path)["extra_state"]["metrics"]["train"]
    return float(next(meter["sum"] for _, name, _, meter in metrics if name == "loss"))


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    for kind, chosen in KINDS.items():
        train(sys.argv[1], Path(sys.argv[2]) / kind, chosen)
    assert "fairseq_plugins" not in sys.modules
