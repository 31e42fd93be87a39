#!/usr/bin/env bash
# Translate raw text with a trained model: a line out for each line in, an empty one too.
#
#   scripts/translate.sh --save-dir DIR [FILE] [OPTION]... [-- FAIRSEQ_INTERACTIVE_OPTION...]
#
#   FILE                 text, a sentence a line, plain or gzipped (default: standard input, a pipe or the keyboard)
#   --save-dir DIR       the run; its checkpoint_best.pt translates, or its checkpoint_last.pt if there is no best
#   --path FILE          another checkpoint (or several, joined by ':', as an ensemble)
#   --text DIR           what a prepare script wrote for the model, with text.json (default: DIR/text, or the folder in
#                        which the training found its data)
#   --out FILE           a file that appears when it is whole (default: standard output)
#   --beam N             beam size (default 5)
#   --lenpen X           length penalty: above 1 longer, below 1 shorter (default 1)
#   --nbest N            the N best translations of a line, each after its line's number
#   --scores             a column with the score, a mean of log2 probabilities
#   --alignments         columns with an alignment by attention: pairs of words, counted from 0, the source's words, the
#                        text's words
#   --long split|refuse  a line that is longer than the model takes is translated in parts, sentence by sentence, or
#                        refused by its number (default split)
#   --repair             put a blank for control and line-separator characters instead of stopping there
#   --buffer-size N      lines that are read before their translations are written (default 1000; 1 at the keyboard)
#   --max-tokens N       source tokens at once (default 4096)
#   --source-lang L, --target-lang L    stop if the model translates in another direction
#
#   --preset NAME        fast: on a CPU with packed weights, a faster search, and without attention weights that nobody
#                        reads; scores may differ in their last digits. fast-bf16, fast-int8: with matrix products in
#                        bfloat16 or 8-bit integers on CPUs with instructions for them; texts differ a little. none: all as
#                        fairseq does it (default: fast on CPUs, none on GPUs)
#   --gpus N, --cpu      N processes with a GPU each; 0 or --cpu = CPU (default: one GPU if there is one)
#   --processes N        N processes on the CPU, which share its cores
#   --shard I/N          translate shard I of N of FILE alone (from 0 to N - 1): an array of jobs translates a large text,
#   --merge              and this puts their shards together, with the same --out
#   --resume             go on with what the same command has written to --out
#   --seed N             random seed, for sampling (default 1)
#   --smoke              beam 1 and at most 20 tokens a sentence
#   --dry-run            print the command, write nothing
#
# Text goes through what the training's text went through, and back: what comes out is what scripts/generate.sh makes of
# the same lines. It does not depend on the number of processes, but on --buffer-size in the last digits of a score, as
# on --max-tokens: a batch is made of the lines of a buffer. Ctrl-C keeps what is written; with --out, --resume goes on.
#
# Examples:
#   echo "Ein Hund rennt." | scripts/translate.sh --save-dir runs/toy
#   scripts/translate.sh --save-dir runs/toy news.de >news.en
#   scripts/translate.sh --save-dir runs/toy news.de --nbest 5 --scores --alignments
#   scripts/translate.sh --save-dir runs/toy mono.de.gz --out mono.en --gpus 4 --resume -- --sampling --beam 1
#   for I in 0 1 2 3; do scripts/translate.sh --save-dir runs/toy mono.de --out mono.en --shard $I/4; done
#   scripts/translate.sh --save-dir runs/toy --out mono.en --merge

# shellcheck source=scripts/lines_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lines_lib.sh"

BEAM=5 LENPEN=1
OPTIONS=(
    "${LINE_OPTIONS[@]}" --beam=BEAM:count --lenpen=LENPEN --alignments=:own_switch --long=LONG:long_lines:own
    --source-lang=SOURCE:fairseqs --target-lang=TARGET:fairseqs
)
long_lines() { [[ "$2" == split || "$2" == refuse ]] || die "--long takes split or refuse, not '$2'" 2; }
read_options "$@"
[[ "$SMOKE" == 0 ]] || BEAM=1 FAIRSEQ_OPTIONS+=(--max-len-a 0 --max-len-b 20)
FAIRSEQ_OPTIONS+=(--beam "$BEAM" --lenpen "$LENPEN")
answer_lines translate
