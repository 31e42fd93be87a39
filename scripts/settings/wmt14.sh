# shellcheck shell=bash
# shellcheck disable=SC2034 # read by recipe_run
# WMT 2014 from English. Needs TARGET_LANG.

DATA_NAME="wmt14-en-$TARGET_LANG"
PREPARE="$ROOT/scripts/prepare_wmt14.sh"
PREPARE_OPTIONS=(--pair "en-$TARGET_LANG")
SMOKE_PREPARE=(--disk 0)
SOURCE_LANG=en
VARIANTS=("${ALL_VARIANTS[@]}")
