#!/usr/bin/env bash
# The quickstart's setting as a recipe: a translation model that trains in a minute, on the toy German-English corpus.
#
#   examples/toy/translation.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          a variant of the grid (default neuralqkv)
#   --data-dir DIR       where the prepared data lies or goes (default data/toy-de-en)
#   --runs DIR           where the runs go (default runs/toy-de-en); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# Generates the corpus, trains, translates the test set with the checkpoint of the best validation loss, scores it. The
# grammar is far more regular than a language: a study of it (study.yaml) shows the machinery, not which model is better.
#
# Examples:
#   examples/toy/translation.sh --variant baseline --cpu
#   fairseq-plugins study examples/toy/study.yaml

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

NAME=toy-de-en
PREPARE="$ROOT/scripts/prepare_toy.sh"
VARIANTS=(neuralqkv)
for name in "${ALL_VARIANTS[@]}"; do
    [[ "$name" == neuralqkv ]] || VARIANTS+=("$name")
done
CORPUS=toy
# shellcheck source=scripts/settings/quickstart.sh
source "$ROOT/scripts/settings/quickstart.sh"
MAX_UPDATE="$UPDATES"
recipe_options "$@"

ARCH="${ARCH/VARIANT/$VARIANT}"
AVERAGE=0 # checkpoint_best, by validation loss
BEAM=5
LENPEN=1

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=824 TRAIN_TOKENS=330000 DISK_GB=1

recipe_run
