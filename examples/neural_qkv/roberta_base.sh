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

# shellcheck source=scripts/pretrain_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/pretrain_lib.sh"

NAME=wikitext-103-roberta-base
DATA_NAME="$NAME" # not the data of another BPE, which other recipes keep
# shellcheck source=scripts/settings/roberta_neural_qkv.sh
source "$ROOT/scripts/settings/roberta_neural_qkv.sh"
VARIANTS=(neuralqkv baseline baseline-reinit matched)
MODEL=""

# Read by whoever plans a run.
# shellcheck disable=SC2034
{
    VOCABULARY=50265
    TRAIN_TOKENS=118000000 # an epoch
    DISK_GB=16
}

OPTIONS=(--model=MODEL:folder --gpt2-bpe=:from_the_model --warm-start=:from_the_model)
from_the_model() { die "$1 has no meaning here: both come from --model" 2; }

# import_model: the pretrained model as a checkpoint with its BPE, in GPT2_BPE.
import_model() {
    GPT2_BPE="$RUNS/model"
    random_model roberta "$RUNS/random-model"
    # The checkpoint is written last: with it, everything is there.
    if [[ -f "$GPT2_BPE/model.pt" && ! "$MODEL/config.json" -nt "$GPT2_BPE/model.pt" ]]; then
        note "$GPT2_BPE/model.pt is there already"
        return
    fi
    plugin_command import-huggingface "$MODEL" "$GPT2_BPE/model.pt"
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

pretrain_options "$@"
[[ -z "$UNTIL" ]] || die "--until is not an option of this recipe" 2
[[ -z "$PRETRAINED" ]] || die "the pretrained model of this recipe is --model DIR; leave --pretrained out" 2
require_model FacebookAI/roberta-base
use_python
if [[ "$TABLE" == 1 ]]; then
    finished_table compare-losses "done"
else
    import_model
    prepare_text
    ARCH="roberta_${VARIANT%-reinit}_base"
    START="$GPT2_BPE/model.pt"
    if [[ "$VARIANT" != baseline ]]; then
        lost_projections
        start_variant "$GPT2_BPE/model.pt" "$GPT2_BPE/dict.txt" "${LOST[@]}"
    fi
    WARM_START="$START"
    set_updates
    pretrain_run
fi
