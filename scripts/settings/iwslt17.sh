# shellcheck shell=bash
# shellcheck disable=SC2034 # read by recipe_run
# IWSLT 2017 German-English; settings/iwslt.sh has the training, and comes after the options.

NAME=iwslt17-de-en
PREPARE="$ROOT/scripts/prepare_iwslt17.sh"
SMOKE_PREPARE=(--tests tst2015)
MAX_UPDATE=50000
# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
VOCABULARY=10000 TRAIN_TOKENS=5200000 DISK_GB=1
