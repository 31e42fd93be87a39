#!/usr/bin/env bash
# A Transformer on IWSLT 2017 German-English (TED talks), with fairseq's IWSLT recipe, and every variant of the grid.
#
#   examples/attention_is_all_you_need/iwslt17.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          a variant of docs/attention.md (default baseline: the paper's model), such as pairwise, or matched
#                        (the baseline, as many parameters as neuralqkv)
#   --from DIR           archive or folder as scripts/prepare_iwslt17.sh takes it; without it the release is downloaded
#   --data-dir DIR       where the prepared data lies or goes (default data/iwslt17-de-en)
#   --runs DIR           where the runs go (default runs/iwslt17-de-en); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# The setting and the runs of examples/neural_qkv/iwslt17.sh, for all variants. The paper has no such experiment. A few hours
# on one GPU; add "-- --fp16" or "-- --bf16" there.
#
# Examples:
#   examples/attention_is_all_you_need/iwslt17.sh --variant pairwise --gpus 1 --resume -- --fp16
#   examples/attention_is_all_you_need/iwslt17.sh --variant symmetric --smoke

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

# shellcheck source=scripts/settings/iwslt17.sh
source "$ROOT/scripts/settings/iwslt17.sh"
VARIANTS=("${ALL_VARIANTS[@]}")
recipe_options "$@"
# shellcheck source=scripts/settings/iwslt.sh
source "$ROOT/scripts/settings/iwslt.sh"
recipe_run
