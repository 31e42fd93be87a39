# shellcheck shell=bash
# Sourced by translate.sh, complete.sh and fill_mask.sh: raw text through a trained model, a line out for each line in.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SAVE_DIR="" CHECKPOINT="" FILE="" PROCESSES=1 MAX_TOKENS=4096
# What goes to the command as it is given, and what goes to fairseq.
OWN=() FAIRSEQ_OPTIONS=()
own() { OWN+=("$1" "$2"); }
own_switch() { OWN+=("$1"); }
fairseqs() { FAIRSEQ_OPTIONS+=("$1" "$2"); }
# shellcheck disable=SC2034 # read by read_options
LINE_OPTIONS=(
    --save-dir=SAVE_DIR:folder --path=CHECKPOINT --text=TEXT:own --out=OUT:own --nbest=NBEST:count:own
    --scores=:own_switch --repair=:own_switch --buffer-size=BUFFER_SIZE:count:own --max-tokens=MAX_TOKENS:count
    --processes=PROCESSES:count --shard=SHARD:own --merge=:own_switch
)
PASSES_ON=fairseq-interactive
other_word() { only_word FILE "file of text" "$1"; }

# answer_lines COMMAND: that command of fairseq-plugins, with what read_options has read.
answer_lines() {
    local asked="$GPUS" command
    [[ -n "$SAVE_DIR$CHECKPOINT" ]] || die "which model? Give --save-dir, or --path; see $PROGRAM --help" 2
    use_python
    resolve_gpus
    use_devices "$asked"
    choose_checkpoint
    command=("$PYTHON" -m fairseq_plugins.cli "$1" --path "$CHECKPOINT" ${OWN[@]+"${OWN[@]}"} --processes "$PROCESSES")
    [[ -z "$FILE" ]] || command+=(--input "$FILE")
    [[ "$RESUME" == 0 ]] || command+=(--resume)
    command+=(-- --max-tokens "$MAX_TOKENS" --seed "$SEED" ${FAIRSEQ_OPTIONS[@]+"${FAIRSEQ_OPTIONS[@]}"})
    [[ "$GPUS" -gt 0 ]] || command+=(--cpu)
    preset_options
    command+=(${PRESET_OPTIONS[@]+"${PRESET_OPTIONS[@]}"} ${EXTRA[@]+"${EXTRA[@]}"})
    if [[ "$DRY_RUN" == 1 ]]; then
        show_command "${command[@]}"
        exit 0
    fi
    [[ "$GPUS" -gt 0 ]] || cpu_environment
    exec "${command[@]}"
}
