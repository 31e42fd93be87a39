#!/usr/bin/env bash
# Score a translation: sacreBLEU with its signature, and chrF, on detokenised text against the plain reference.
#
#   scripts/score.sh HYPOTHESES REFERENCE [OPTION]... [-- SACREBLEU_OPTION...]
#
#   --out FILE           JSON with the scores and signatures (default: score.json beside HYPOTHESES)
#   --tokenize NAME      sacreBLEU's tokeniser (default 13a; zh, ja-mecab, ... for other languages)
#   --tokenised L        also BLEU on Moses tokens of language L, as most papers before sacreBLEU report it
#   --compound-split L   also that with words split at hyphens in both files ("a-b" -> "a ##AT##-##AT## b"), as "Attention
#                        Is All You Need" and those that compare with it report English-German
#   --resume             keep a score that is newer than its input
#   --dry-run            print the command, write nothing
#   --gpus N, --cpu, --seed N, --smoke    accepted like everywhere, without effect here
#
# Prints one line for people; the JSON has all scores with sacreBLEU's signatures, those of the two above as
# BLEU-tokenised and BLEU-compound-split: their signature says tok:none, since the tokens are made before sacreBLEU sees them.
# Both files are plain text, one sentence a line, in the same order.
#
# Examples:
#   scripts/score.sh runs/toy/gen.test/hyp.detok.en data/toy/raw/test.en
#   scripts/score.sh runs/wmt14/gen.test/hyp.detok.de data/wmt14-en-de/raw/test.de --compound-split de

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

FILES=()
OUT=""
TOKENIZE=13a
TOKENISED=""
COMPOUND_SPLIT=""

OPTIONS=(--out=OUT --tokenize=TOKENIZE --tokenised=TOKENISED --compound-split=COMPOUND_SPLIT)
PASSES_ON=sacrebleu
other_word() {
    [[ "$1" != -* ]] || unknown_option "$1"
    FILES+=("$1")
}
read_options "$@"
[[ "${#FILES[@]}" == 2 ]] || die "two files: the hypotheses and the reference; see $PROGRAM --help" 2
HYP="${FILES[0]}" REF="${FILES[1]}"
[[ -n "$OUT" ]] || OUT="$(dirname "$HYP")/score.json"

for language in "$TOKENISED" "$COMPOUND_SPLIT"; do
    [[ -z "$language" || "$language" =~ ^[a-z]{2,3}$ ]] || die "a language is two or three letters such as de, not '$language'" 2
done
use_python
SACREBLEU=("$PYTHON" -m sacrebleu "$REF" --input "$HYP" --metrics bleu chrf --format json --width 2
    --tokenize "$TOKENIZE" ${EXTRA[@]+"${EXTRA[@]}"})
if [[ "$DRY_RUN" == 1 ]]; then
    show_command "${SACREBLEU[@]}"
    [[ -z "$TOKENISED" ]] || printf '# and BLEU on Moses tokens (%s)\n' "$TOKENISED"
    [[ -z "$COMPOUND_SPLIT" ]] || printf '# and BLEU on Moses tokens (%s), compounds split at hyphens\n' "$COMPOUND_SPLIT"
    exit 0
fi

for file in "$HYP" "$REF"; do
    [[ -f "$file" ]] || die "no file $file"
done
hyp_lines="$(awk 'END {print NR}' "$HYP")"
ref_lines="$(awk 'END {print NR}' "$REF")"
[[ "$hyp_lines" -gt 0 ]] || die "$HYP is empty"
[[ "$hyp_lines" == "$ref_lines" ]] ||
    die "$HYP has $hyp_lines lines but $REF has $ref_lines; every reference sentence needs its hypothesis"

# kept: whether the score that is there is newer than its input and has all that is asked for.
kept() {
    [[ "$RESUME" == 1 && "${#EXTRA[@]}" == 0 && ! "$HYP" -nt "$OUT" && ! "$REF" -nt "$OUT" ]] &&
        grep -qF "tok:$TOKENIZE|" "$OUT" &&
        { [[ -z "$TOKENISED" ]] || grep -qF '"BLEU-tokenised"' "$OUT"; } &&
        { [[ -z "$COMPOUND_SPLIT" ]] || grep -qF '"BLEU-compound-split"' "$OUT"; }
}

record=()
if ! kept; then
    trap 'rm -f "$OUT.part"' EXIT
    "${SACREBLEU[@]}" >"$OUT.part" || die "sacrebleu failed on $HYP against $REF"
    record=(--sacrebleu "$OUT.part" --hypotheses "$HYP" --reference "$REF" --tokenised "$TOKENISED"
        --compound-split "$COMPOUND_SPLIT")
fi
"$PYTHON" -m fairseq_plugins.cli record-scores "$OUT" ${record[@]+"${record[@]}"}
