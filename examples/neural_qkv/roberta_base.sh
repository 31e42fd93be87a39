#!/usr/bin/env bash
# The paper's masked-LM experiment: neural QKV in the pretrained roberta-base, trained on with WikiText-103.
#
#   examples/neural_qkv/roberta_base.sh --model DIR [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --model DIR          the pretrained model in Hugging Face's layout; fetch it with
#                        huggingface-cli download FacebookAI/roberta-base --local-dir DIR
#   --variant V          neuralqkv (default): networks in place of the linear q, k and v projections, drawn anew;
#                        baseline: the pretrained model, nothing lost; baseline-reinit: its q, k and v projections drawn
#                        anew, so that it loses what neuralqkv loses; matched: that with as many parameters as
#                        neuralqkv, in its feed-forward layers
#   --from PATH          folder or archive with WikiText-103, as scripts/prepare_wikitext.sh takes it; without it the
#                        archive is fetched (190 MB)
#   --data-dir DIR       where the prepared data lies or goes (default data/wikitext-103-roberta-base)
#   --runs DIR           where the runs go (default runs/wikitext-103-roberta-base); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training, and of the linear decay (default: 5 epochs)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# The paper reports exp(validation loss), which the table shows as perplexity. roberta_wikitext103.sh is the same setting
# from other weights or from scratch. Made for a GPU; add "-- --fp16" or "-- --bf16" there. --smoke without --model makes
# a tiny random model of its own.
#
# Examples:
#   examples/neural_qkv/roberta_base.sh --model roberta-base --variant neuralqkv --gpus 1 --resume
#   examples/neural_qkv/roberta_base.sh --model roberta-base --variant baseline-reinit --gpus 1 -- --bf16
#   examples/neural_qkv/roberta_base.sh --variant matched --smoke

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
# shellcheck source=scripts/recipe_lib.sh
source "$ROOT/scripts/recipe_lib.sh"
# shellcheck source=scripts/pretrain_lib.sh
source "$ROOT/scripts/pretrain_lib.sh"

NAME=wikitext-103-roberta-base
DATA_NAME="$NAME" # not the data of another BPE, which other recipes keep
CORPUS=103
VARIANTS=(neuralqkv baseline baseline-reinit matched)
MODEL=""

# Read by whoever plans a run.
# shellcheck disable=SC2034
{
    VOCABULARY=50265
    TRAIN_TOKENS=118000000 # an epoch
    DISK_GB=16
}

# The paper's code: batches of 8 sequences, everything else as its trainer's defaults.
LENGTH=512
MAX_TOKENS=4096
BATCH_TOKENS=4096
EPOCHS=5
SAVE_EVERY=5000
TRAINING=(
    --dropout 0.1 --attention-dropout 0.1
    --optimizer adam --adam-betas "(0.9, 0.999)" --adam-eps 1e-8 --weight-decay 0.0 --clip-norm 1.0
    --lr 0.00005 --warmup-updates 0
)

OPTIONS=(--model=MODEL:folder --gpt2-bpe=:from_the_model --warm-start=:from_the_model)
from_the_model() { die "$1 has no meaning here: both come from --model" 2; }

# model_options "$@": pretrain_options, and --model.
model_options() {
    pretrain_options "$@"
    [[ "$TABLE" == 0 ]] || return 0
    if [[ -z "$MODEL" && "$SMOKE" == 0 ]]; then
        [[ "$DRY_RUN" == 1 ]] || die "which pretrained model? Fetch it with: huggingface-cli download FacebookAI/roberta-base --local-dir roberta-base, and add --model roberta-base" 2
        MODEL=roberta-base
    fi
    [[ -z "$MODEL" || -f "$MODEL/config.json" || "$DRY_RUN" == 1 ]] ||
        die "no config.json in $MODEL; fetch the model with: huggingface-cli download FacebookAI/roberta-base --local-dir $(printf '%q' "$MODEL")"
}

# import_model: the pretrained model as a checkpoint with its BPE, in GPT2_BPE.
import_model() {
    GPT2_BPE="$RUNS/model"
    if [[ -z "$MODEL" ]]; then
        MODEL="$RUNS/random-model"
        [[ -d "$MODEL" ]] || run_command "$PYTHON" "$ROOT/scripts/random_huggingface.py" roberta "$MODEL"
    fi
    # The checkpoint is written last: with it, everything is there.
    if [[ -f "$GPT2_BPE/model.pt" && ! "$MODEL/config.json" -nt "$GPT2_BPE/model.pt" ]]; then
        note "$GPT2_BPE/model.pt is there already"
        return
    fi
    run_command "$PYTHON" -m fairseq_plugins.cli import-huggingface "$MODEL" "$GPT2_BPE/model.pt"
}

# prepare_text: raw text to $DATA, in the pretrained model's BPE.
prepare_text() {
    if [[ "$DRY_RUN" == 1 && "$DATA" != "$DATA_DIR" && ! -f "$GPT2_BPE/encoder.json" ]]; then
        # Its own dry run wants to see the files that the import would have written.
        show_command bash "$ROOT/scripts/prepare_wikitext.sh" "$CORPUS" --gpt2-bpe "$GPT2_BPE" --out "$DATA_DIR" \
            ${FROM:+--from "$FROM"}
    else
        pretrain_prepare
    fi
}

# start_variant: ARCH, and WARM_START, the checkpoint that its training begins with.
start_variant() {
    local pretrained="$GPT2_BPE/model.pt" options=()
    ARCH="roberta_${VARIANT%-reinit}_base"
    WARM_START="$RUNS/starts/$VARIANT-seed$SEED.pt"
    case "$VARIANT" in
        baseline) WARM_START="$pretrained" ;;
        neuralqkv) options=(--neural-start reinit) ;;
        *) options=(--reinit "q,k,v") ;;
    esac
    [[ "$VARIANT" != baseline ]] || return 0
    if [[ -f "$WARM_START" && "$WARM_START" -nt "$pretrained" ]]; then
        note "$WARM_START is there already"
        return
    fi
    run_command "$PYTHON" -m fairseq_plugins.cli warm-start "$pretrained" "$WARM_START" --arch "$ARCH" "${options[@]}" \
        --seed "$SEED" --dict "$GPT2_BPE/dict.txt" --json "${WARM_START%.pt}.json"
}

model_options "$@"
use_python
if [[ "$TABLE" == 1 ]]; then
    finished_table compare-losses "done"
else
    import_model
    prepare_text
    start_variant
    set_updates
    pretrain_run
fi
