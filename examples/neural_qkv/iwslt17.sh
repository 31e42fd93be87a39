#!/usr/bin/env bash
# Neural QKV on IWSLT 2017 German-English (TED talks), with fairseq's IWSLT recipe.
#
#   examples/neural_qkv/iwslt17.sh [--variant V] [--seed N] [--from DIR] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          baseline, neuralqkv (default) or matched (the baseline, as many parameters as neuralqkv)
#   --from DIR           folder with the official files (train.tags.*, *.xml); without it they are downloaded
#   --data-dir DIR       where the prepared data lies or goes (default data/iwslt17-de-en)
#   --runs DIR           where the runs go (default runs/iwslt17-de-en); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# Made for a GPU; add "-- --fp16" or "-- --bf16" there.
#
# Examples:
#   examples/neural_qkv/iwslt17.sh --variant neuralqkv --gpus 1 --resume -- --fp16
#   examples/neural_qkv/iwslt17.sh --variant neuralqkv --smoke

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

# shellcheck source=scripts/settings/iwslt17.sh
source "$ROOT/scripts/settings/iwslt17.sh"
recipe_options "$@"
# shellcheck source=scripts/settings/iwslt.sh
source "$ROOT/scripts/settings/iwslt.sh"
recipe_run
