#!/usr/bin/env bash
# Score a translation: sacreBLEU with its signature, and chrF, on detokenised text against the plain reference.
#
#   scripts/score.sh HYPOTHESES REFERENCE [OPTION]... [-- SACREBLEU_OPTION...]
#
#   --out FILE           JSON with the scores and signatures (default: score.json beside HYPOTHESES)
#   --tokenize NAME      sacreBLEU's tokeniser (default 13a; zh, ja-mecab, ... for other languages)
#   --resume             keep a score that is newer than its input
#   --dry-run            print the command, write nothing
#   --gpus N, --cpu, --seed N, --smoke    accepted like everywhere, without effect here
#
# Prints one line for people. Both files are plain text, one sentence a line, in the same order.
#
# Example:
#   scripts/score.sh runs/toy/gen.test/hyp.detok.en data/toy/raw/test.en

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

FILES=()
OUT=""
TOKENIZE=13a
EXTRA=()

while [[ $# -gt 0 ]]; do
    common_option "$@"
    if [[ "$TAKEN" -gt 0 ]]; then
        shift "$TAKEN"
        continue
    fi
    case "$1" in
        --out | --tokenize)
            need_value "$1" "$#"
            if [[ "$1" == --out ]]; then OUT="$2"; else TOKENIZE="$2"; fi
            shift 2
            ;;
        --)
            shift
            EXTRA=("$@")
            break
            ;;
        -*) die "unknown option $1; options of sacrebleu go after --; see $PROGRAM --help" 2 ;;
        *)
            FILES+=("$1")
            shift
            ;;
    esac
done
[[ "${#FILES[@]}" == 2 ]] || die "two files: the hypotheses and the reference; see $PROGRAM --help" 2
HYP="${FILES[0]}" REF="${FILES[1]}"
[[ -n "$OUT" ]] || OUT="$(dirname "$HYP")/score.json"

use_python
SACREBLEU=("$PYTHON" -m sacrebleu "$REF" --input "$HYP" --metrics bleu chrf --format json --width 2
    --tokenize "$TOKENIZE" ${EXTRA[@]+"${EXTRA[@]}"})
if [[ "$DRY_RUN" == 1 ]]; then
    show_command "${SACREBLEU[@]}"
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

if [[ "$RESUME" != 1 || "${#EXTRA[@]}" -gt 0 || "$HYP" -nt "$OUT" || "$REF" -nt "$OUT" ]] ||
    ! grep -qF "tok:$TOKENIZE|" "$OUT"; then
    "${SACREBLEU[@]}" >"$OUT.part" || {
        rm -f "$OUT.part"
        die "sacrebleu failed on $HYP against $REF"
    }
    "$PYTHON" - "$OUT.part" "$HYP" "$REF" "$hyp_lines" <<'PYTHON'
import json
import os
import sys

part, hypotheses, reference, lines = sys.argv[1:]
with open(part, encoding="utf-8") as file:
    metrics = json.load(file)
content = {
    "hypotheses": os.path.abspath(hypotheses),
    "reference": os.path.abspath(reference),
    "sentences": int(lines),
    "metrics": {metric["name"]: metric for metric in metrics},
}
with open(part, "w", encoding="utf-8") as file:
    json.dump(content, file, indent=2)
    file.write("\n")
PYTHON
    mv "$OUT.part" "$OUT"
fi
"$PYTHON" - "$OUT" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    metrics = json.load(file)["metrics"]
print(" | ".join(f"{name} {metric['score']:.2f} ({metric['signature']})" for name, metric in metrics.items()))
PYTHON
