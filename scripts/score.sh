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
EXTRA=()

while [[ $# -gt 0 ]]; do
    common_option "$@"
    if [[ "$TAKEN" -gt 0 ]]; then
        shift "$TAKEN"
        continue
    fi
    case "$1" in
        --out | --tokenize | --tokenised | --compound-split)
            need_value "$1" "$#"
            case "$1" in
                --out) OUT="$2" ;;
                --tokenize) TOKENIZE="$2" ;;
                --tokenised) TOKENISED="$2" ;;
                --compound-split) COMPOUND_SPLIT="$2" ;;
            esac
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

if ! kept; then
    "${SACREBLEU[@]}" >"$OUT.part" || {
        rm -f "$OUT.part"
        die "sacrebleu failed on $HYP against $REF"
    }
    "$PYTHON" - "$OUT.part" "$HYP" "$REF" "$hyp_lines" "$TOKENISED" "$COMPOUND_SPLIT" <<'PYTHON'
import json
import os
import re
import sys

from sacrebleu.metrics import BLEU
from sacremoses import MosesTokenizer

part, hypotheses, reference, lines, tokenised, compound_split = sys.argv[1:]


def token_bleu(name, language, split):
    tokenizer = MosesTokenizer(language)
    texts = []
    for path in (hypotheses, reference):
        with open(path, encoding="utf-8", newline="\n") as file:
            texts.append([tokenizer.tokenize(line, return_str=True) for line in file])
        if split:
            # The pattern of tensor2tensor's get_ende_bleu.sh.
            texts[-1] = [re.sub(r"(\S)-(\S)", r"\1 ##AT##-##AT## \2", line) for line in texts[-1]]
    metric = BLEU(tokenize="none", force=True)
    result = metric.corpus_score(texts[0], [texts[1]])
    return {"name": name, "score": round(result.score, 2), "signature": str(metric.get_signature()), "tok": "none"}


with open(part, encoding="utf-8") as file:
    metrics = json.load(file)
if tokenised:
    metrics.append(token_bleu("BLEU-tokenised", tokenised, False))
if compound_split:
    metrics.append(token_bleu("BLEU-compound-split", compound_split, True))
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
