#!/usr/bin/env bash
# Prepare the tasks of GLUE for fine-tuning by fairseq's sentence_prediction task.
#
# usage: bash scripts/prepare_glue.sh --from DIR --bpe-dir DIR [options]
#
#   --from DIR          folder with GLUE's own folders CoLA, MNLI, MRPC, QNLI, QQP, RTE, SST-2, STS-B, WNLI, each with
#                       train.tsv and dev.tsv (MNLI: dev_matched.tsv and dev_mismatched.tsv), plain or .gz
#   --bpe-dir DIR       folder with encoder.json and vocab.bpe: the byte-level BPE of the pretraining, or GPT-2's
#   --dict FILE         dict.txt of the pretraining (default: BPE_DIR/dict.txt or BPE_DIR/../bin/dict.txt)
#   --out DIR           where to write (default: data/glue)
#   --tasks A,B         only these; a missing one is then an error. Without it the missing ones are named and left out
#   --max-length N      tokens of an example at most; the longer text of it loses its end (default: 128)
#   --workers N         processes (default: 1); the result does not depend on it
#   --force             make every task again
#   --dry-run           print every command, write nothing
#
# Result: OUT/TASK-bin with input0, input1 and label as fairseq's examples/roberta/preprocess_GLUE_tasks.sh makes them,
# but for the order of the classes, which is fixed instead of by frequency, and for examples that are too long, which
# fairseq's recipe keeps. task.json in it counts rows and tokens. Scores of STS-B are divided by 5, as there. Rows that
# cannot be read stop the preparation; only of QQP, whose release has some, rows without all fields are left out.
# Tasks that are done are skipped; after an interruption run the same command again.
#
# examples:
#   bash scripts/prepare_glue.sh --from ~/glue_data --bpe-dir data/wikitext-2/bpe --out data/glue-wikitext-2
#   bash scripts/prepare_glue.sh --from ~/glue_data --bpe-dir ~/gpt2_bpe --tasks CoLA,MNLI --workers 4

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

ALL_TASKS=(CoLA MNLI MRPC QNLI QQP RTE SST-2 STS-B WNLI)
OUT="$ROOT/data/glue"
BPE_DIR="" DICT="" CHOSEN="" MAX_LENGTH=128

SHARED_OPTIONS=(
    --from=FROM:filled:folder --bpe-dir=BPE_DIR:filled:folder --dict=DICT:filled --out=OUT:filled:folder
    --tasks=CHOSEN:filled --max-length=MAX_LENGTH:filled --workers=WORKERS:filled --dry-run=DRY_RUN:1 --force=FORCE:1
)
read_options "$@"
for name in MAX_LENGTH WORKERS; do
    from_1 "$(option_name "$name")" "${!name}"
done
[[ -n "$FROM" ]] || die "where is the data? Give --from the folder that holds CoLA, MRPC ...; see $PROGRAM --help" 2
[[ -n "$BPE_DIR" ]] || die "which BPE? Give --bpe-dir the folder with encoder.json and vocab.bpe; see $PROGRAM --help" 2
[[ -d "$FROM" ]] || die "--from $FROM is not a folder; give the one that holds CoLA, MRPC ..."
if [[ -z "$DICT" ]]; then
    for DICT in "$BPE_DIR/dict.txt" "${BPE_DIR%/*}/bin/dict.txt" ""; do
        [[ ! -f "$DICT" ]] || break
    done
    [[ -n "$DICT" ]] || die "no dict.txt in $BPE_DIR or in bin beside it; give --dict the one of the pretraining data"
fi
for file in "$BPE_DIR/encoder.json" "$BPE_DIR/vocab.bpe" "$DICT"; do
    [[ -f "$file" ]] || die "no file $file; --bpe-dir and --dict name the BPE and the dictionary of the pretraining"
done

TASKS=("${ALL_TASKS[@]}")
if [[ -n "$CHOSEN" ]]; then
    IFS=, read -r -a TASKS <<<"$CHOSEN"
    for task in "${TASKS[@]}"; do
        [[ " ${ALL_TASKS[*]} " == *" $task "* ]] || die "--tasks $CHOSEN: '$task' is none of ${ALL_TASKS[*]}" 2
    done
fi

# task_files TASK: its files, in INPUTS; status 1, with the first missing one in MISSING, if they are not all there.
task_files() {
    local stem stems=(train dev)
    [[ "$1" != MNLI ]] || stems=(train dev_matched dev_mismatched)
    INPUTS=()
    for stem in "${stems[@]}"; do
        MISSING="$FROM/$1/$stem.tsv"
        find_file "$stem.tsv" "$FROM/$1" || return 1
        INPUTS+=("$FOUND")
    done
}

prepare_task() {
    plugin glue-prepare "$TASK" "$FROM/$TASK" "$PARTIAL/$TASK-bin" --bpe-dir "$BPE_DIR" --dict "$DICT" \
        --max-length "$MAX_LENGTH" --workers "$WORKERS"
}

present=()
for task in "${TASKS[@]}"; do
    if task_files "$task"; then
        present+=("$task")
    elif [[ -n "$CHOSEN" ]]; then
        die "$task: no $MISSING or $MISSING.gz; put it there or leave $task out of --tasks"
    else
        note "$task: no $MISSING or $MISSING.gz; $task is left out"
    fi
done
[[ "${#present[@]}" -gt 0 ]] || die "none of ${TASKS[*]} is complete in $FROM; give --from the folder that holds CoLA, MRPC ..."

use_python
prepare_start find cmp cut
for TASK in "${present[@]}"; do
    task_files "$TASK"
    stage "$TASK" "$TASK-bin" "length $MAX_LENGTH" prepare_task \
        "${INPUTS[@]}" "$BPE_DIR/encoder.json" "$BPE_DIR/vocab.bpe" "$DICT"
done
[[ "$DRY_RUN" == 1 ]] || note "ready: ${#present[@]} of ${#ALL_TASKS[@]} tasks in $OUT: ${present[*]}"
