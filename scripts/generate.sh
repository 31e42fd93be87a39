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
#   --preset NAME        fast: on a CPU with packed weights, a faster search, and without attention weights that nobody
#                        reads; scores may differ in their last digits. fast-bf16, fast-int8: with matrix products in
#                        bfloat16 or 8-bit integers on CPUs with instructions for them; texts differ a little. none: all as
#                        fairseq does it (default: fast on CPUs, none on GPUs)
#   --gpus N, --cpu      N processes with a GPU each; 0 or --cpu = CPU (default: one GPU if there is one)
#   --processes N        N processes on the CPU, which share its cores
#   --shard I/N          translate shard I of N alone (from 0 to N - 1): an array of jobs translates a large text, and
#   --merge              puts their shards together, in a call with the same options otherwise
#   --resume             keep what the same command and checkpoint have finished: the translation, or shards of it
#   --seed N             random seed, for sampling (default 1)
#   --smoke              beam 1 and at most 20 tokens a sentence
#   --dry-run            print the command, write nothing
#
# Writes, all at once at the end: log (fairseq's own output), hyp.tok (tokenised, BPE undone), hyp.detok.L (plain text,
# for scripts/score.sh), command.sh. A sentence longer than the model takes stops it; with
# "-- --skip-invalid-size-inputs-valid-test" its line stays empty, and the last line says how many there are.
#
# N processes, or shards, translate the batches that one process makes, each about as many source tokens, so that the
# hypotheses are the same. Their scores are too if the threads of a process are (OMP_NUM_THREADS), or else differ by
# rounding. What draws random numbers (--sampling, --retain-dropout) draws others in another number of processes. When one
# fails or all are stopped, finished shards stay in DIR.partial for --resume with the same number of them.
#
# Examples:
#   scripts/generate.sh data-bin/toy --save-dir runs/toy
#   scripts/generate.sh data-bin/toy --save-dir runs/toy --path runs/toy/average.pt --out runs/toy/gen.average --lenpen 0.6
#   scripts/generate.sh data-bin/toy --save-dir runs/toy --gpus 4 --resume
#   scripts/generate.sh data-bin/mono --save-dir runs/toy --shard 3/16 --resume
#   scripts/generate.sh data-bin/mono --save-dir runs/toy --merge

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
PROCESSES=1
SHARD=""
MERGE=0

OPTIONS=(
    --save-dir=SAVE_DIR:folder --path=CHECKPOINT --subset=SUBSET --beam=BEAM --lenpen=LENPEN --max-tokens=MAX_TOKENS
    --language=LANGUAGE --out=OUT:folder --processes=PROCESSES:count --shard=SHARD:shard_of --merge=MERGE:1
)
shard_of() {
    [[ "$2" =~ ^([0-9]+)/([1-9][0-9]*)$ && "${BASH_REMATCH[1]}" -lt "${BASH_REMATCH[2]}" ]] ||
        die "--shard needs I/N with I from 0 to N - 1, not '$2'" 2
}
PASSES_ON=fairseq-generate
other_word() { only_word DATA "DATA_BIN folder" "$1"; }
read_options "$@"

[[ -n "$DATA" ]] || die "which data? Give the folder that fairseq-preprocess wrote; see $PROGRAM --help" 2
[[ -n "$SAVE_DIR" || (-n "$CHECKPOINT" && -n "$OUT") ]] ||
    die "which model? Give --save-dir, or --path with --out; see $PROGRAM --help" 2
[[ -n "$OUT" ]] || OUT="$SAVE_DIR/gen.$SUBSET"
for option in --num-shards --shard-id; do
    ! given "$option" ${EXTRA[@]+"${EXTRA[@]}"} || die "$option is set by this script: use --shard I/N before the --" 2
done
[[ "$MERGE" == 0 || -z "$SHARD" ]] || die "--merge puts all shards together; leave out --shard" 2

asked="$GPUS"
use_python
resolve_gpus
use_devices "$asked"
SHARDS="$PROCESSES"
if [[ -n "$SHARD" ]]; then
    [[ "$PROCESSES" == 1 ]] || die "--shard $SHARD is translated by one process; leave out --gpus or --processes" 2
    SHARDS="${SHARD#*/}"
fi

choose_checkpoint
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

# What the text went through says how to make text of pieces again.
RECORD="$(record_of "$DATA")"
REMOVE_BPE=(--remove-bpe)
[[ -z "$RECORD" ]] || ! grep -q '"tool": "sentencepiece"' "$RECORD" || REMOVE_BPE=(--remove-bpe sentencepiece)

fairseq_command generate
GENERATE=("${FAIRSEQ[@]}" "$DATA" --user-dir "$ROOT/fairseq_plugins" --path "$CHECKPOINT" --gen-subset "$SUBSET"
    --beam "$BEAM" --lenpen "$LENPEN" --max-tokens "$MAX_TOKENS" "${REMOVE_BPE[@]}" --seed "$SEED" --log-format none)
[[ "$GPUS" -gt 0 ]] || GENERATE+=(--cpu)
preset_options
GENERATE+=(${PRESET_OPTIONS[@]+"${PRESET_OPTIONS[@]}"} ${EXTRA[@]+"${EXTRA[@]}"})

if [[ "$DRY_RUN" == 1 ]]; then
    [[ "$SHARDS" == 1 ]] || note "each process is given --num-shards $SHARDS --shard-id I besides"
    show_command "${GENERATE[@]}"
    exit 0
fi

# It will be replaced as a whole.
[[ ! -e "$OUT" || -f "$OUT/command.sh" || (-d "$OUT" && -z "$(ls -A "$OUT")") ]] ||
    die "$OUT is there but no translation of this script; choose another --out"
newer=0
IFS=: read -r -a paths <<<"$CHECKPOINT"
WATCH=(--out "$OUT" --language "$LANGUAGE" --shards "$SHARDS")
for path in "${paths[@]}"; do
    [[ -f "$path" ]] || die "no checkpoint $path; train first, or give --path"
    [[ "$path" -ot "$OUT/command.sh" ]] || newer=1
    WATCH+=(--reads "$path")
done
for path in "$DATA/$SUBSET".*; do WATCH+=(--reads "$path"); done
command="$(show_command "${GENERATE[@]}")"
if [[ "$RESUME" == 1 && -f "$OUT/command.sh" && "$newer" == 0 ]] &&
    [[ "$command" == "$(tail -n 1 "$OUT/command.sh")" ]]; then
    note "$OUT is there already"
    exit 0
fi

[[ "$GPUS" -gt 0 ]] || cpu_environment
[[ "$MERGE" == 1 ]] || mkdir -p "$OUT.partial" || die "cannot make the folder $OUT.partial; choose another --out"
[[ -z "$SHARD" ]] || WATCH+=(--shard "${SHARD%/*}")
[[ "$MERGE" == 0 ]] || WATCH+=(--merge)
[[ -z "$RECORD" ]] || WATCH+=(--text-record "$RECORD")
[[ "$RESUME" == 0 ]] || WATCH+=(--resume)
[[ "$GPUS" -lt 2 ]] || WATCH+=(--gpus)
[[ "$MERGE" == 1 ]] || note "translating ${SHARD:+shard $SHARD of }$SUBSET with $CHECKPOINT, beam $BEAM"
WATCH+=(--script "$(printf '#!/usr/bin/env bash\n%s\n%s' "$(show_command cd "$PWD")" "$command")")
exec "$PYTHON" "$ROOT/scripts/watch_translation.py" "${WATCH[@]}" -- "${GENERATE[@]}"
