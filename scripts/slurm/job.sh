# shellcheck shell=bash
# Sourced by the batch scripts beside it: one task a machine, a stop in good order, and back to the queue.

set -uo pipefail

fail() {
    printf '%s: error: %s\n' "${SLURM_JOB_NAME:-slurm}" "$1" >&2
    exit 2
}

# first_address: that of the job's first machine.
first_address() {
    local name
    name="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
    scontrol show --oneliner node "$name" | sed -n 's/.* NodeAddr=\([^ ]*\) .*/\1/p'
}

# run_job SCRIPT OPTION...: the script on every machine of the job, from its newest checkpoint on.
run_job() {
    local script="$1" nodes="${SLURM_JOB_NUM_NODES:-1}" meet=() status=0 told=0
    shift
    [[ -f "$script" ]] || fail "no script $script in $PWD"
    if [[ "$nodes" -gt 1 ]]; then
        # A port that two jobs on one machine hardly share.
        meet=(--nodes "$nodes" --rendezvous "$(first_address):$((20000 + SLURM_JOB_ID % 20000))")
    fi
    # Slurm tells this shell alone that time is up (B: in --signal); what runs in the step is told by it.
    trap 'told=1; scancel --signal=TERM "$SLURM_JOB_ID.0" 2>/dev/null' TERM
    srun --kill-on-bad-exit=1 bash "$script" ${meet[@]+"${meet[@]}"} --resume "$@" &
    wait "$!" || status=$?
    # A signal ends the wait but not the step.
    while [[ "$told" == 1 ]] && kill -0 "$!" 2>/dev/null; do
        status=0
        wait "$!" || status=$?
    done
    # A job that was cancelled is told in the same way, and stays away; a preempted one Slurm itself brings back. One that
    # failed on one machine ends with 143 too, of the tasks that srun then stops, but was not told.
    if [[ "$told" == 1 && "$status" == 143 && "$(scontrol show --oneliner job "$SLURM_JOB_ID")" == *" JobState=RUNNING "* ]]; then
        printf '%s: stopped with everything saved; back to the queue\n' "$SLURM_JOB_NAME"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit "$status"
}
