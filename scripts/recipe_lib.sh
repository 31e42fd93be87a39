# shellcheck shell=bash
# Sourced by the recipes in examples/: options, and the way from raw text to a score.
#
# A recipe sets its hyper-parameters (see recipe_run) and calls: recipe_options "$@"; recipe_run

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What the grid of architectures names, in its order: to import it would take seconds.
# shellcheck disable=SC2034 # read by recipes
mapfile -t ALL_VARIANTS < <(sed -n '/^VARIANTS/,/^}/s/^    "\(.*\)": {.*/\1/p' "$ROOT/fairseq_plugins/models/grid.py")
VARIANTS=(neuralqkv baseline matched) # those of the recipe, which may set others; the first is its default
VARIANT=""
FROM=""
DATA_DIR=""
RUNS=""
TABLE=0

# What a recipe may set besides; see recipe_run.
DATA_NAME="" BATCH_TOKENS="" BELOW="" SAVE_UPDATES="" TOKEN_BLEU="" REFERENCE="test"
SOURCE_LANG=de TARGET_LANG=en
KIND="" RUN_NAME="" UNTIL="" SUBSET="test" GEN="" OWN_LENPEN="" PRETRAINED="" REINIT=""
PREPARE_OPTIONS=() SMOKE_PREPARE=() GENERATION=()

SHARED_OPTIONS+=(
    --variant=VARIANT --from=FROM --data-dir=DATA_DIR:folder --runs=RUNS:folder --max-update=MAX_UPDATE
    --processes=PROCESSES --table=TABLE:1 --pretrained=PRETRAINED
    # what a study asks for: the run's name if it is not the variant's, the stage after which to stop, what to translate
    # with which length penalty, and the folder for it in the run's
    --name=RUN_NAME:run_name --until=UNTIL:known_stage --subset=SUBSET --lenpen=OWN_LENPEN --gen=GEN
)
run_name() { [[ "$2" =~ ^[A-Za-z0-9][A-Za-z0-9._+=,-]*$ ]] || die "--name $2: letters, digits and . _ + = , - alone" 2; }
known_stage() { [[ "$2" == prepare || "$2" == train ]] || die "--until $2: choose prepare or train" 2; }
# shellcheck disable=SC2034
PASSES_ON=fairseq-train

# recipe_options "$@": the options that every recipe takes, and its own in OPTIONS.
recipe_options() {
    read_options "$@"
    if [[ -n "$PRETRAINED" ]]; then
        [[ -f "$PRETRAINED" || "$DRY_RUN" == 1 ]] || die "no checkpoint $PRETRAINED; give one with --pretrained FILE"
        [[ "$VARIANT" != *-reinit ]] || REINIT=-reinit
        VARIANT="${VARIANT%-reinit}"
    fi
    [[ -n "$VARIANT" ]] || VARIANT="${VARIANTS[0]}"
    [[ " ${VARIANTS[*]} " == *" $VARIANT "* ]] || die "--variant $VARIANT: choose one of ${VARIANTS[*]}" 2
}

# run_folder: where this run goes.
run_folder() { printf '%s' "$RUNS/${RUN_NAME:-$VARIANT$REINIT}-seed$SEED"; }

# ends_after STAGE: whether no more than that was asked for.
ends_after() { [[ "$UNTIL" == "$1" ]]; }

# default_folders RUNS_NAME DATA_NAME: RUNS and DATA_DIR where they are not given; a smoke run has its own.
default_folders() {
    local suffix=""
    [[ "$SMOKE" == 0 ]] || suffix="-smoke"
    [[ -n "$RUNS" ]] || RUNS="$ROOT/runs/$1$suffix"
    [[ -n "$DATA_DIR" ]] || DATA_DIR="$ROOT/data/$2$suffix"
}

# recipe_run: prepare, train, translate, score; each stage that is complete is kept.
#
# Reads NAME, PREPARE, ARCH (with VARIANT in it), BPE, MAX_TOKENS, BATCH_TOKENS, MAX_UPDATE, TRAINING
# (options of fairseq-train), BEAM, LENPEN, AVERAGE (epochs to average; 0 = the best checkpoint translates), and perhaps
# DATA_NAME (name of the prepared data, where recipes share them), SOURCE_LANG and TARGET_LANG, PREPARE_OPTIONS (what the
# preparation needs besides), SMOKE_PREPARE (options that make it shorter), SAVE_UPDATES (save every so many updates, and
# average these saves), GENERATION (options of fairseq-generate), REFERENCE (the set in raw/ that is the reference),
# TOKEN_BLEU (tokenised or compound-split: another BLEU to report).
recipe_run() {
    local save_dir gen data prepare=() saves=() score=()
    # shellcheck disable=SC2153 # the recipe's
    default_folders "$NAME" "${DATA_NAME:-$NAME}"
    if [[ "$TABLE" == 1 ]]; then
        finished_table compare gen.test/score.json
        return
    fi
    use_python # once for all stages
    save_dir="$(run_folder)"
    data="$DATA_DIR/bin"
    gen="$save_dir/${GEN:-gen.$SUBSET}"
    common_flags

    if [[ "$SMOKE" == 1 ]]; then
        BPE=200
        # Without text of its own a smoke run takes a little of the toy corpus, which is German and English.
        if [[ -z "$FROM" ]]; then
            PREPARE="$ROOT/scripts/prepare_toy.sh"
            PREPARE_OPTIONS=(--train 300 --valid 60 --test 60)
            REFERENCE="test"
            [[ "$TARGET_LANG" == en ]] || TARGET_LANG=de
        else
            PREPARE_OPTIONS+=(${SMOKE_PREPARE[@]+"${SMOKE_PREPARE[@]}"})
        fi
    elif [[ -n "$SAVE_UPDATES" ]]; then
        saves=(--no-epoch-checkpoints --save-interval-updates "$SAVE_UPDATES" --keep-interval-updates "$AVERAGE")
    fi
    prepare+=(${PREPARE_OPTIONS[@]+"${PREPARE_OPTIONS[@]}"} --source-lang "$SOURCE_LANG" --target-lang "$TARGET_LANG")
    prepare+=(--out "$DATA_DIR" --bpe "$BPE" --workers "$(getconf _NPROCESSORS_ONLN)")
    [[ -z "$FROM" ]] || prepare+=(--from "$FROM")
    [[ "$DRY_RUN" == 0 ]] || prepare+=(--dry-run)
    run_stage "$PREPARE" "${prepare[@]}"
    ! ends_after prepare || return 0

    train_stage "$data" "$save_dir" -- "${TRAINING[@]}" ${saves[@]+"${saves[@]}"}
    ! ends_after train || return 0
    average_stage "$save_dir"
    [[ "$SUBSET" == test ]] || REFERENCE="$SUBSET"
    run_stage "$ROOT/scripts/generate.sh" "$data" --save-dir "$save_dir" ${CHECKPOINT[@]+"${CHECKPOINT[@]}"} \
        --subset "$SUBSET" --out "$gen" --beam "$BEAM" --lenpen "${OWN_LENPEN:-$LENPEN}" --language "$TARGET_LANG" "${COMMON_FLAGS[@]}" \
        ${PROCESSES:+--processes "$PROCESSES"} \
        -- ${GENERATION[@]+"${GENERATION[@]}"}
    [[ -z "$TOKEN_BLEU" ]] || score=("--$TOKEN_BLEU" "$TARGET_LANG")
    run_stage "$ROOT/scripts/score.sh" "$gen/hyp.detok.$TARGET_LANG" "$DATA_DIR/raw/$REFERENCE.$TARGET_LANG" \
        ${score[@]+"${score[@]}"} "${COMMON_FLAGS[@]}"
}

# train_stage DATA SAVE_DIR [OPTION]... -- FAIRSEQ_TRAIN_OPTION...: train.sh as the recipe and its caller want it.
train_stage() {
    local options=("$1" --arch "$ARCH" --save-dir "$2" --max-tokens "$MAX_TOKENS")
    [[ -z "${BATCH_TOKENS:-}" ]] || options+=(--batch-tokens "$BATCH_TOKENS")
    [[ -z "${MAX_UPDATE:-}" ]] || options+=(--max-update "$MAX_UPDATE")
    [[ -z "${PROCESSES:-}" ]] || options+=(--processes "$PROCESSES")
    if [[ -n "$PRETRAINED" ]]; then
        pretrained_start "$1"
        set -- "$@" --finetune-from-model "$START"
    fi
    run_stage "$ROOT/scripts/train.sh" "${options[@]}" "${COMMON_FLAGS[@]}" "${@:3}" ${EXTRA[@]+"${EXTRA[@]}"}
}

# average_stage SAVE_DIR: average AVERAGE saves, if it is not 0; how generate.sh takes the result is in CHECKPOINT.
average_stage() {
    local updates=()
    CHECKPOINT=()
    [[ "$AVERAGE" -gt 0 ]] || return 0
    [[ "$SMOKE" == 0 && -z "$SAVE_UPDATES" ]] || updates=(--updates)
    # The few updates of a smoke run end within its first epoch.
    [[ "$SMOKE" == 0 ]] || AVERAGE=2
    run_stage "$ROOT/scripts/average.sh" "$1" --last "$AVERAGE" ${updates[@]+"${updates[@]}"} --out "$1/average.pt" \
        "${COMMON_FLAGS[@]}"
    CHECKPOINT=(--path "$1/average.pt")
}

# finished_table COMMAND FILE [OPTION...]: COMMAND makes a table of those runs that have FILE, and files beside them.
finished_table() {
    local command="$1" file="$2" runs=() run
    shift 2
    for run in "$RUNS"/*-seed*/; do
        [[ ! -f "$run/$file" ]] || runs+=("${run%/}")
    done
    [[ "${#runs[@]}" -gt 0 || "$DRY_RUN" == 1 ]] || die "no finished run in $RUNS; run $PROGRAM without --table first"
    use_python
    plugin_command "$command" ${runs[@]+"${runs[@]}"} "$@" --json "$RUNS/table.json" --csv "$RUNS/table.csv" \
        --plot "$RUNS/validation.png" ${BELOW:+--below "$BELOW"}
}

# ------------------------------------------------------------------ pretrained models

# require_model HUB_NAME: MODEL, in Hugging Face's layout, must be there, or this says how to fetch it.
require_model() {
    local name="${1##*/}" fetch="huggingface-cli download $1 --local-dir"
    [[ "$TABLE" == 0 ]] || return 0
    if [[ -z "$MODEL" && "$SMOKE" == 0 ]]; then
        [[ "$DRY_RUN" == 1 ]] || die "which pretrained model? Fetch it with: $fetch $name, and add --model $name" 2
        MODEL="$name"
    fi
    [[ -z "$MODEL" || -f "$MODEL/config.json" || "$DRY_RUN" == 1 ]] ||
        die "no config.json in $MODEL; fetch the model with: $fetch $(printf '%q' "$MODEL")"
}

# random_model KIND FOLDER: a tiny one, where none is given.
random_model() {
    [[ -z "$MODEL" ]] || return 0
    MODEL="$2"
    [[ -d "$MODEL" ]] || run_command "$PYTHON" "$ROOT/scripts/random_huggingface.py" "$1" "$MODEL"
}

# start_variant PRETRAINED DICT [OPTION]...: START, the checkpoint that the training of ARCH begins with: what warm-start
# makes of PRETRAINED. A training that has begun does not read it again.
start_variant() {
    START="$RUNS/starts/$(basename "$(run_folder)").pt"
    if [[ -f "$START" && -f "$(run_folder)/command.sh" ]]; then
        note "$START is there already"
        return
    fi
    plugin_command warm-start "$1" "$START" --arch "$ARCH" "${@:3}" --seed "$SEED" --dict "$2" --json "${START%.pt}.json" \
        --training ${EXTRA[@]+"${EXTRA[@]}"}
}

# lost_projections: LOST, the options of start_variant by which those are drawn anew that neuralqkv replaces.
lost_projections() {
    local replaced=q,k,out # the paper's shapes
    [[ "$ARCH" != roberta* ]] || replaced=q,k,v
    LOST=(--reinit "$replaced")
    [[ "$VARIANT" != neuralqkv ]] || LOST=(--neural-start reinit)
}

# pretrained_start DATA: START, what --pretrained becomes in this variant.
pretrained_start() {
    local LOST=() dictionaries=("$1"/dict*.txt)
    use_python
    [[ -z "$REINIT" ]] || lost_projections
    start_variant "$PRETRAINED" "${dictionaries[0]}" ${LOST[@]+"${LOST[@]}"}
}
