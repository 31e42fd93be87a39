#!/usr/bin/env bash
# A Transformer on IWSLT 2014 German-English (TED talks), with fairseq's IWSLT recipe, and every variant of the grid.
#
#   examples/attention_is_all_you_need/iwslt14.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          baseline (default: the paper's model), neuralqkv, symmetric, pairwise, valueaware or matched (the
#                        baseline, as many parameters as neuralqkv)
#   --from DIR           archive or folder as scripts/prepare_iwslt14.sh takes it; without it the release is downloaded
#   --data-dir DIR       where the prepared data lies or goes (default data/iwslt14-de-en)
#   --runs DIR           where the runs go (default runs/iwslt14-de-en); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# The paper has no such experiment; with this recipe 34 to 35 BLEU are common, of lower-case tokens, which scripts/score.sh
# gives beside sacreBLEU's (of lower-case text too). A few hours on one GPU; add "-- --fp16" or "-- --bf16" there.
#
# Examples:
#   examples/attention_is_all_you_need/iwslt14.sh --variant pairwise --gpus 1 --resume -- --fp16
#   examples/attention_is_all_you_need/iwslt14.sh --variant matched --smoke

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
# shellcheck source=scripts/recipe_lib.sh
source "$ROOT/scripts/recipe_lib.sh"

NAME=iwslt14-de-en
PREPARE="$ROOT/scripts/prepare_iwslt14.sh"
SMOKE_PREPARE=(--disk 0)
VARIANTS=(baseline neuralqkv symmetric pairwise valueaware matched)
MAX_UPDATE=50000
recipe_options "$@"

# fairseq's examples/translation, IWSLT'14 German-English: 6+6 layers of 512, feed-forward 1024, 4 heads.
ARCH="transformer_${VARIANT}_iwslt_de_en"
BPE=10000 # joint merges, one dictionary
MAX_TOKENS=4096
BATCH_TOKENS=4096
TRAINING=(
    --share-decoder-input-output-embed --dropout 0.3 --weight-decay 0.0001
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 0.0
    --lr 0.0005 --lr-scheduler inverse_sqrt --warmup-updates 4000
    --keep-last-epochs 5
)
AVERAGE=0 # checkpoint_best, by validation loss
BEAM=5
LENPEN=1
REFERENCE="test.lower"
TOKEN_BLEU=tokenised

# For planning: entries of the dictionary, target tokens of an epoch, gigabytes of data and checkpoints.
# shellcheck disable=SC2034
{
    VOCABULARY=10000
    TRAIN_TOKENS=4000000
    DISK_GB=5
}

recipe_run
