#!/usr/bin/env bash
# Translate a subset with a trained model: fairseq-generate, then plain text in the order of the corpus.
#
#   scripts/generate.sh DATA_BIN --save-dir DIR [OPTION]... [-- FAIRSEQ_GENERATE_OPTION...]
#
#   --save-dir DIR       the run; its checkpoint_best.pt translates, or its checkpoint_last.pt if there is no best
#   --path FILE          another checkpoint (or several, joined by ':', as an ensemble)
#   --subset NAME        what to translate (default test)
#   --beam N             beam size (default 5)
#   --lenpen X           length penalty: above 1 longer, below 1 shorter (default 1)
#   --max-tokens N       source tokens at once (default 4096)
#   --language L         language of the hypotheses, for detokenisation (default: the target side of DATA_BIN)
#   --out DIR            where to (default SAVE_DIR/gen.SUBSET)
#
#   --preset NAME        fast (or fast-bf16, which is the same here): on a CPU with packed weights, and without attention
#                        weights that nobody reads; scores may differ in their last digits
#   --gpus N, --cpu      0 or --cpu = CPU; any other number = one GPU (default: a GPU if there is one)
#   --resume             keep a finished translation by the same command and checkpoint
#   --seed N             random seed, for sampling (default 1)
#   --smoke              beam 1 and at most 20 tokens a sentence
#   --dry-run            print the command, write nothing
#
# Writes, all at once at the end: log (fairseq's own output), hyp.tok (tokenised, BPE undone), hyp.detok.L (plain text,
# for scripts/score.sh), command.sh. A sentence longer than the model takes stops it; with
# "-- --skip-invalid-size-inputs-valid-test" its line stays empty, and the last line says how many there are.
#
# Examples:
#   scripts/generate.sh data-bin/toy --save-dir runs/toy
#   scripts/generate.sh data-bin/toy --save-dir runs/toy --path runs/toy/average.pt --out runs/toy/gen.average --lenpen 0.6

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DATA=""
SAVE_DIR=""
CHECKPOINT=""
SUBSET="test"
BEAM=5
LENPEN=1
MAX_TOKENS=4096
LANGUAGE=""
OUT=""

OPTIONS=(
    --save-dir=SAVE_DIR:folder --path=CHECKPOINT --subset=SUBSET --beam=BEAM --lenpen=LENPEN --max-tokens=MAX_TOKENS
    --language=LANGUAGE --out=OUT:folder
)
PASSES_ON=fairseq-generate
other_word() { only_word DATA "DATA_BIN folder" "$1"; }
read_options "$@"

[[ -n "$DATA" ]] || die "which data? Give the folder that fairseq-preprocess wrote; see $PROGRAM --help" 2
[[ -n "$SAVE_DIR" || (-n "$CHECKPOINT" && -n "$OUT") ]] ||
    die "which model? Give --save-dir, or --path with --out; see $PROGRAM --help" 2
[[ -n "$OUT" ]] || OUT="$SAVE_DIR/gen.$SUBSET"

use_python
resolve_gpus

if [[ -z "$CHECKPOINT" ]]; then
    CHECKPOINT="$SAVE_DIR/checkpoint_best.pt"
    [[ -e "$CHECKPOINT" || ! -e "$SAVE_DIR/checkpoint_last.pt" ]] || CHECKPOINT="$SAVE_DIR/checkpoint_last.pt"
fi
if [[ -z "$LANGUAGE" ]]; then
    # DATA_BIN/test.de-en.en.idx names the direction and then one side of it.
    pair="$(find "$DATA" -maxdepth 1 -name "$SUBSET.*-*.*.idx" 2>/dev/null | head -n 1)"
    pair="${pair##*/"$SUBSET".}"
    pair="${pair%%.*}"
    LANGUAGE="${pair##*-}"
    [[ -n "$LANGUAGE" || "$DRY_RUN" == 1 ]] || die "$DATA has no subset '$SUBSET'; give --subset, or --language"
    LANGUAGE="${LANGUAGE:-en}"
fi
if [[ "$SMOKE" == 1 ]]; then
    BEAM=1
    EXTRA+=(--max-len-a 0 --max-len-b 20)
fi

fairseq_command generate
GENERATE=("${FAIRSEQ[@]}" "$DATA" --user-dir "$ROOT/fairseq_plugins" --path "$CHECKPOINT" --gen-subset "$SUBSET"
    --beam "$BEAM" --lenpen "$LENPEN" --max-tokens "$MAX_TOKENS" --remove-bpe --seed "$SEED" --log-format none)
[[ "$GPUS" -gt 0 ]] || GENERATE+=(--cpu)
if [[ -n "$PRESET" ]]; then
    if given --model-overrides ${EXTRA[@]+"${EXTRA[@]}"}; then
        note "--preset $PRESET: --model-overrides is given; name fast_inference there"
    else
        GENERATE+=(--model-overrides "{'fast_inference': True}")
    fi
fi
GENERATE+=(${EXTRA[@]+"${EXTRA[@]}"})

if [[ "$DRY_RUN" == 1 ]]; then
    show_command "${GENERATE[@]}"
    exit 0
fi

# It will be replaced as a whole.
[[ ! -e "$OUT" || -f "$OUT/command.sh" || (-d "$OUT" && -z "$(ls -A "$OUT")") ]] ||
    die "$OUT is there but no translation of this script; choose another --out"
newer=0
IFS=: read -r -a paths <<<"$CHECKPOINT"
for path in "${paths[@]}"; do
    [[ -f "$path" ]] || die "no checkpoint $path; train first, or give --path"
    [[ "$path" -ot "$OUT/command.sh" ]] || newer=1
done
if [[ "$RESUME" == 1 && -f "$OUT/command.sh" && "$newer" == 0 ]] &&
    [[ "$(show_command "${GENERATE[@]}")" == "$(tail -n 1 "$OUT/command.sh")" ]]; then
    note "$OUT is there already"
    exit 0
fi

[[ "$GPUS" -gt 0 ]] || cpu_environment
work="$OUT.partial"
rm -rf "$work"
mkdir -p "$work" || die "cannot make the folder $work; choose another --out"
trap 'rm -rf "$work"' EXIT
note "translating $SUBSET with $CHECKPOINT, beam $BEAM"
start=$SECONDS
if ! LOGLEVEL=INFO PYTHONIOENCODING=utf-8 "${GENERATE[@]}" >"$work/log" 2>"$work/errors"; then
    tail -n 15 "$work/errors" | grep -vF ' | INFO | ' >&2 || true
    grep -E 'Error|Exception' "$work/log" | tail -n 3 >&2 || true
    die "fairseq-generate failed; its last words are above"
fi
cat "$work/errors" >>"$work/log"
rm "$work/errors"
left_out="$("$PYTHON" "$ROOT/scripts/collect_hypotheses.py" "$work/log" "$work" "$LANGUAGE")"
{
    printf '#!/usr/bin/env bash\n'
    show_command cd "$PWD"
    show_command "${GENERATE[@]}"
} >"$work/command.sh"
rm -rf "$OUT"
mv "$work" "$OUT"
note "$(awk 'END {print NR}' "$OUT/hyp.tok") sentences in $((SECONDS - start)) s: $OUT/hyp.detok.$LANGUAGE"
[[ -z "$left_out" ]] || note "$left_out"
