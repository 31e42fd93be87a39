#!/usr/bin/env bash
# Fill <mask> in raw text by a masked language model: a line out for each line in.
#
#   scripts/fill_mask.sh --save-dir DIR [FILE] [OPTION]...
#
#   FILE                 lines with <mask>, plain or gzipped (default: standard input, a pipe or the keyboard)
#   --save-dir DIR       the run; its checkpoint_best.pt fills, or its checkpoint_last.pt if there is no best
#   --nbest N            the N likeliest fillings of a line, each after its line's number
#   --scores             a column with the probability
#   --path, --text, --out, --repair, --buffer-size, --max-tokens, --preset, --gpus, --cpu, --processes, --shard, --merge,
#   --resume, --seed, --dry-run    as scripts/translate.sh --help describes
#
# Of a line with several masks each gets its likeliest filling, whatever --nbest says; a line without stays as it is.
#
# Examples:
#   echo "The <mask> barks." | scripts/fill_mask.sh --save-dir runs/roberta --nbest 5 --scores

# shellcheck source=scripts/lines_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lines_lib.sh"

OPTIONS=("${LINE_OPTIONS[@]}")
read_options "$@"
answer_lines fill-mask
