#!/usr/bin/env bash
# A Transformer on IWSLT 2014 German-English (TED talks), with fairseq's IWSLT recipe, and every variant of the grid.
#
#   examples/attention_is_all_you_need/iwslt14.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          a variant of docs/attention.md (default baseline: the paper's model), such as pairwise, or matched
#                        (the baseline, as many parameters as neuralqkv)
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

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

NAME=iwslt14-de-en
PREPARE="$ROOT/scripts/prepare_iwslt14.sh"
SMOKE_PREPARE=(--disk 0)
VARIANTS=("${ALL_VARIANTS[@]}")
MAX_UPDATE=50000
recipe_options "$@"

# shellcheck source=scripts/settings/iwslt.sh
source "$ROOT/scripts/settings/iwslt.sh"
REFERENCE="test.lower"
TOKEN_BLEU=tokenised

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=10000 TRAIN_TOKENS=4000000 DISK_GB=1

recipe_run
