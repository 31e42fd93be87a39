#!/usr/bin/env bash
# Go on with raw text by a causal language model: a line out for each line in, the line and what comes after it.
#
#   scripts/complete.sh --save-dir DIR [FILE] [OPTION]... [-- FAIRSEQ_INTERACTIVE_OPTION...]
#
#   FILE                 lines to go on with, plain or gzipped (default: standard input, a pipe or the keyboard)
#   --save-dir DIR       the run; its checkpoint_best.pt writes, or its checkpoint_last.pt if there is no best
#   --length N           tokens that come after a line, at most (default 50)
#   --beam N             beam size (default 5)
#   --nbest N            the N best completions of a line, each after its line's number
#   --scores             a column with the score, a mean of log2 probabilities, those of the line too
#   --path, --text, --out, --repair, --buffer-size, --max-tokens, --preset, --gpus, --cpu, --processes, --shard, --merge,
#   --resume, --seed, --dry-run    as scripts/translate.sh --help describes
#
# An empty line stays empty. Options of fairseq-interactive choose another search.
#
# Examples:
#   echo "The old man" | scripts/complete.sh --save-dir runs/lm
#   scripts/complete.sh --save-dir runs/lm prompts.txt --length 100 --beam 1 -- --sampling --sampling-topp 0.9

# shellcheck source=scripts/lines_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lines_lib.sh"

BEAM=5
OPTIONS=("${LINE_OPTIONS[@]}" --beam=BEAM:count --length=LENGTH:count:own)
read_options "$@"
FAIRSEQ_OPTIONS+=(--beam "$BEAM")
answer_lines complete
