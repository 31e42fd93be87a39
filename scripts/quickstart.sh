#!/usr/bin/env bash
# From nothing to a translating neural-QKV Transformer beside the vanilla control, in one command.
#
#   scripts/quickstart.sh [OPTION]...
#
#   --data NAME          toy (default: the bundled toy German-English corpus) or multi30k (real image captions)
#   --from DIR           take the Multi30k files from DIR instead of downloading them
#   --data-dir DIR       where the prepared data goes (default data/quickstart-NAME)
#   --runs DIR           where the models go (default runs/quickstart-NAME)
#   --max-update N       length of each training (default: toy 800, multi30k 1500)
#   --gpus N, --cpu      number of GPUs; 0 or --cpu = CPU (default: all GPUs there are)
#   --seed N             random seed (default 1)
#   --smoke              a few updates on a few sentences: shows in a minute that everything runs
#   --dry-run            print the commands, write nothing
#   --resume             accepted; the quickstart always goes on where it stopped
#
# Sets the environment up (scripts/setup.sh; an active environment that has everything is used as it is), prepares
# the corpus, trains transformer_baseline_tiny and transformer_neuralqkv_tiny (in the shape without a norm, whose
# networks begin as the baseline's projections) one after the other, translates the test set with both, prints samples
# and scores, and writes a page about the two. After installation: under 5 minutes on two CPU cores with the toy corpus,
# about 10 minutes a model with multi30k.
# Each finished stage is kept: call it again after an interruption. To start over, remove the runs folder.
#
# Examples:
#   bash scripts/quickstart.sh
#   bash scripts/quickstart.sh --data multi30k --from ~/multi30k

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CORPUS=toy
FROM=""
DATA_DIR=""
RUNS=""
MAX_UPDATE=""

OPTIONS=(--data=CORPUS --from=FROM --data-dir=DATA_DIR:folder --runs=RUNS:folder --max-update=MAX_UPDATE)
read_options "$@"

VARIANTS=(baseline neuralqkv)
case "$CORPUS" in
    toy)
        [[ -z "$FROM" ]] || die "--from is for --data multi30k; the toy corpus is bundled" 2
        PREPARE=("$ROOT/scripts/prepare_toy.sh")
        ;;
    multi30k) PREPARE=("$ROOT/scripts/prepare_multi30k.sh") ;;
    *) die "--data $CORPUS: choose toy or multi30k" 2 ;;
esac
# shellcheck source=scripts/settings/quickstart.sh
source "$ROOT/scripts/settings/quickstart.sh"
MAX_UPDATE="${MAX_UPDATE:-$UPDATES}"
SUFFIX=""
if [[ "$SMOKE" == 1 ]]; then
    SUFFIX="-smoke"
    [[ "$CORPUS" != toy ]] || PREPARE+=(--train 300 --valid 60 --test 60)
    BPE=200
fi
PREPARE+=(--bpe "$BPE")
[[ -n "$DATA_DIR" ]] || DATA_DIR="$ROOT/data/quickstart-$CORPUS$SUFFIX"
[[ -n "$RUNS" ]] || RUNS="$ROOT/runs/quickstart-$CORPUS$SUFFIX"
PREPARE+=(--out "$DATA_DIR" --workers "$(getconf _NPROCESSORS_ONLN)")
[[ -z "$FROM" ]] || PREPARE+=(--from "$FROM")
[[ "$DRY_RUN" == 0 ]] || PREPARE+=(--dry-run)

step() { printf '\n== %s\n' "$*"; }

# ready: whether the Python that would be used has everything already.
ready() {
    (use_python && "$PYTHON" "$ROOT/scripts/inspect_env.py" has sacrebleu sacremoses subword_nmt) 2>/dev/null
}

step "Environment"
if [[ -n "${PYTHON:-}${VIRTUAL_ENV:-}" ]] && ready; then
    use_python
    note "using $PYTHON"
elif [[ "$DRY_RUN" == 1 ]]; then
    show_command bash "$ROOT/scripts/setup.sh"
    use_python
else
    bash "$ROOT/scripts/setup.sh"
    # Its environment, not one that was active and incomplete.
    unset PYTHON VIRTUAL_ENV
    use_python
fi

RESUME=1
common_flags
begin=$SECONDS
cores="$(getconf _NPROCESSORS_ONLN)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores < 4 ? cores : 4))}"

step "Corpus: $CORPUS"
run_stage "${PREPARE[@]}"

for variant in "${VARIANTS[@]}"; do
    run="$RUNS/$variant-seed$SEED"
    arch="${ARCH/VARIANT/$variant}"
    own=() # networks without a norm begin as the baseline's projections
    [[ "$variant" != neuralqkv ]] || own=(--neural-qkv-shape roberta)
    step "Training $arch${own[*]+ ${own[*]}}"
    run_stage "$ROOT/scripts/train.sh" "$DATA_DIR/bin" --arch "$arch" --save-dir "$run" \
        --max-update "$MAX_UPDATE" --max-tokens "$MAX_TOKENS" --batch-tokens "$BATCH_TOKENS" "${COMMON_FLAGS[@]}" \
        -- "${TRAINING[@]}" ${own[@]+"${own[@]}"}
done

step "Translating the test set"
for variant in "${VARIANTS[@]}"; do
    run="$RUNS/$variant-seed$SEED"
    run_stage "$ROOT/scripts/generate.sh" "$DATA_DIR/bin" --save-dir "$run" --language en "${COMMON_FLAGS[@]}"
    run_stage "$ROOT/scripts/score.sh" "$run/gen.test/hyp.detok.en" "$DATA_DIR/raw/test.en" "${COMMON_FLAGS[@]}"
done

compare=("$PYTHON" -m fairseq_plugins.cli compare "${VARIANTS[@]/%/-seed$SEED}" --json table.json --page page)
if [[ "$DRY_RUN" == 1 ]]; then
    show_command cd "$RUNS"
    show_command "${compare[@]}"
    exit 0
fi

step "Samples"
lines="$(awk 'END {print NR}' "$DATA_DIR/raw/test.en")"
for part in 1 2 3 4; do
    number=$((1 + (lines - 1) * part / 5))
    printf '%-11s %s\n' source "$(sed -n "${number}p" "$DATA_DIR/raw/test.de")"
    printf '%-11s %s\n' reference "$(sed -n "${number}p" "$DATA_DIR/raw/test.en")"
    for variant in "${VARIANTS[@]}"; do
        printf '%-11s %s\n' "$variant" "$(sed -n "${number}p" "$RUNS/$variant-seed$SEED/gen.test/hyp.detok.en")"
    done
    printf '\n'
done

step "Scores on the test set"
(cd "$RUNS" && LOGLEVEL=WARNING "${compare[@]}")

# said_path PATH: as it is typed where the caller is.
said_path() { printf '%q' "${1#"$PWD"/}"; }

step "Done in $(((SECONDS - begin) / 60)) min $(((SECONDS - begin) % 60)) s; models, logs and translations: $RUNS"
printf 'Translate a sentence of your own with what was trained:\n  echo "%s" | %s --save-dir %s\n' \
    "$(head -n 1 "$DATA_DIR/raw/test.de")" "$(said_path "$ROOT/scripts/translate.sh")" \
    "$(said_path "$RUNS/${VARIANTS[0]}-seed$SEED")"
printf 'The page of this comparison: %s\n' "$(said_path "$RUNS/page/report.html")"
printf 'See what their heads look at, on another page:\n'
printf '  fairseq-plugins attention-page %s %s --split test --beside %s --out attention.html\n' \
    "$(said_path "$RUNS/${VARIANTS[1]}-seed$SEED/checkpoint_best.pt")" "$(said_path "$DATA_DIR/bin")" \
    "$(said_path "$RUNS/${VARIANTS[0]}-seed$SEED/checkpoint_best.pt")"
if [[ "$CORPUS" == toy ]]; then
    printf 'A short training on a toy grammar shows that all works, not which model is better.\n'
    printf 'Next: bash scripts/quickstart.sh --data multi30k, for real text.\n'
else
    printf 'Next: examples/neural_qkv/multi30k.sh --help, for the measured setting and its table.\n'
fi
