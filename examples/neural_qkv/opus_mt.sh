#!/usr/bin/env bash
# The paper's translation experiment: neural QKV in a pretrained opus-mt-de-en, fine-tuned on IWSLT 2017 German-English.
#
#   examples/neural_qkv/opus_mt.sh --model DIR [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --model DIR          the pretrained model in Hugging Face's layout; fetch it with
#                        huggingface-cli download Helsinki-NLP/opus-mt-de-en --local-dir DIR
#   --variant V          neuralqkv (default): networks in place of the linear q, k and output projections, drawn anew;
#                        baseline: the pretrained model, nothing lost; baseline-reinit: its q, k and output projections
#                        drawn anew, so that it loses what neuralqkv loses; matched: that with as many parameters as
#                        neuralqkv, in its feed-forward layers
#   --from DIR           folder with the official files (train.tags.*, *.xml); without it they are downloaded
#   --data-dir DIR       where the prepared data lies or goes (default data/opus-mt-de-en)
#   --runs DIR           where the runs go (default runs/opus-mt-de-en); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training, and of the linear decay (default: 6 epochs)
#   --table              no run: print the table of all finished runs in --runs, on the validation set, and write it as
#                        JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# The paper reports sacreBLEU on the validation set (dev2010) after 6 epochs; the test set (tst2015) is scored too. A
# batch is 32 sentences over all devices; they are of similar length here, in random order, where the paper's are mixed.
# Made for a GPU; add "-- --fp16" there. --smoke without --model makes a tiny random model of its own.
#
# Examples:
#   examples/neural_qkv/opus_mt.sh --model opus-mt-de-en --variant neuralqkv --gpus 1 --resume
#   examples/neural_qkv/opus_mt.sh --model opus-mt-de-en --variant baseline-reinit --gpus 1 -- --fp16
#   examples/neural_qkv/opus_mt.sh --variant matched --smoke

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

NAME=opus-mt-de-en
VARIANTS=(neuralqkv baseline baseline-reinit matched)
MODEL=""

# Read by whoever plans a run.
# shellcheck disable=SC2034
{
    VOCABULARY=58102
    TRAIN_TOKENS=5200000 # target tokens an epoch
    DISK_GB=10
}

# The paper's code; what it leaves to its trainer's defaults is written out.
SENTENCES=206112 # of the training text, where it is not there to be counted
EPOCHS=6
BATCH=32 # sentences
BEAM=4
LENPEN=1
TRAINING=(
    # the shape and the ways of opus-mt
    --encoder-layers 6 --encoder-embed-dim 512 --encoder-ffn-embed-dim 2048 --encoder-attention-heads 8
    --decoder-layers 6 --decoder-embed-dim 512 --decoder-ffn-embed-dim 2048 --decoder-attention-heads 8
    --share-all-embeddings --max-source-positions 512 --max-target-positions 512
    --activation-fn swish --sinusoidal-positions marian --decoder-start-symbol bos --output-bias
    --dropout 0.1 --attention-dropout 0 --activation-dropout 0
    --criterion cross_entropy
    --optimizer adam --adam-betas "(0.9, 0.999)" --adam-eps 1e-8 --weight-decay 0.0 --clip-norm 1.0
    --lr 0.00005 --lr-scheduler polynomial_decay --warmup-updates 0 --end-learning-rate 0.0
)

OPTIONS=(--model=MODEL:folder)

# prepare_data: raw text and the pretrained model to $DATA_DIR/bin and $DATA_DIR/model.
prepare_data() {
    local common=() text=() workers
    workers="$(getconf _NPROCESSORS_ONLN)"
    [[ "$DRY_RUN" == 0 ]] || common+=(--dry-run)
    [[ "$SMOKE" == 0 ]] || text+=(--bpe 200)
    if [[ -n "$FROM" ]]; then
        text+=(--from "$FROM")
        [[ "$SMOKE" == 0 ]] || text+=(--tests tst2015)
        text=("$ROOT/scripts/prepare_iwslt17.sh" "${text[@]}")
    elif [[ "$SMOKE" == 1 ]]; then
        text=("$ROOT/scripts/prepare_toy.sh" --train 300 --valid 60 --test 60 "${text[@]}")
    else
        text=("$ROOT/scripts/prepare_iwslt17.sh")
    fi
    run_stage "${text[@]}" --out "$DATA_DIR/text" --workers "$workers" ${common[@]+"${common[@]}"}
    random_model marian "$DATA_DIR/random-model"
    run_stage "$ROOT/scripts/prepare_opus_mt.sh" --model "$MODEL" --from "$DATA_DIR/text/raw" --out "$DATA_DIR" \
        --workers "$workers" ${common[@]+"${common[@]}"}
}

# set_updates: MAX_UPDATE, where it is not given, from EPOCHS: the linear decay must know where it ends.
set_updates() {
    [[ "$SMOKE" == 0 ]] || MAX_UPDATE="${MAX_UPDATE:-6}" # train.sh makes no more then
    [[ -z "${MAX_UPDATE:-}" ]] || return 0
    if [[ -f "$DATA_DIR/spm/train.en" ]]; then
        SENTENCES="$(($(wc -l <"$DATA_DIR/spm/train.en")))"
    else
        note "--max-update below is that of the official release; the data, once they are there, say it exactly"
    fi
    MAX_UPDATE=$((EPOCHS * ((SENTENCES + BATCH - 1) / BATCH)))
}

# train_and_score: the run itself; each stage that is complete is kept.
train_and_score() {
    local save_dir data="$DATA_DIR/bin" devices subset
    save_dir="$(run_folder)"
    devices="$GPUS"
    [[ "$GPUS" -gt 0 ]] || devices="${PROCESSES:-1}"
    devices=$((devices * NODES))
    [[ $((BATCH % devices)) == 0 ]] || die "a batch of $BATCH sentences cannot be shared by $devices devices; take 1, 2, 4 ..." 2
    MAX_TOKENS=$((512 * BATCH / devices))
    train_stage "$data" "$save_dir" --save-every 2000 -- "${TRAINING[@]}" --batch-size $((BATCH / devices)) \
        --total-num-update "$MAX_UPDATE" --no-epoch-checkpoints --finetune-from-model "$START"
    for subset in valid test; do
        run_stage "$ROOT/scripts/generate.sh" "$data" --save-dir "$save_dir" --path "$save_dir/checkpoint_last.pt" \
            --subset "$subset" --out "$save_dir/gen.$subset" --beam "$BEAM" --lenpen "$LENPEN" --language en \
            ${PROCESSES:+--processes "$PROCESSES"} "${COMMON_FLAGS[@]}" -- --remove-bpe sentencepiece
        # Without its pieces this is plain text already.
        run_stage "$ROOT/scripts/score.sh" "$save_dir/gen.$subset/hyp.tok" "$DATA_DIR/text/raw/$subset.en" \
            "${COMMON_FLAGS[@]}"
    done
}

recipe_options "$@"
[[ "$UNTIL$SUBSET$GEN$OWN_LENPEN" == test ]] || die "--until, --subset, --gen and --lenpen are not options of this recipe" 2
default_folders "$NAME" "$NAME"
[[ -z "$PRETRAINED" ]] || die "the pretrained model of this recipe is --model DIR; leave --pretrained out" 2
require_model Helsinki-NLP/opus-mt-de-en
use_python
if [[ "$TABLE" == 1 ]]; then
    finished_table compare gen.valid/score.json --subset valid
else
    resolve_gpus
    common_flags
    prepare_data
    ARCH="transformer_${VARIANT%-reinit}"
    START="$DATA_DIR/model/model.pt"
    if [[ "$VARIANT" != baseline ]]; then
        lost_projections
        start_variant "$DATA_DIR/model/model.pt" "$DATA_DIR/model/dict.txt" "${LOST[@]}"
    fi
    set_updates
    train_and_score
fi
