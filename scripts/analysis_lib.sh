# shellcheck shell=bash
# Sourced by the recipes in examples/value_aware: from a trained model to its curves against r.

# shellcheck source=scripts/pretrain_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/pretrain_lib.sh"

# The kernels that are registered, the default first.
# shellcheck disable=SC2034 # read by recipes
mapfile -t KERNELS < <(
    echo exp
    sed -n 's/^@KERNEL.register("\(.*\)")$/\1/p' "$ROOT"/fairseq_plugins/attention/normalise/*.py | grep -vx exp
)

# analyse: the analysis of this run's best checkpoint, or with --table those of all finished runs, and what they say of a
# model under several seeds and of its kernel.
#
# Reads DATA, RUNS, VARIANT, SEED, and ANALYSIS (options of fairseq-plugins analyse-attention).
analyse() {
    local run kind options=()
    [[ -z "$UNTIL" ]] || return 0
    use_python
    if [[ "$TABLE" == 1 ]]; then
        for run in "$RUNS"/*-seed*/; do
            [[ -f "$run/analysis/analysis.json" ]] || continue
            printf '\n%s\n\n' "$(basename "$run")"
            run_analysis "${run%/}"
        done
        for kind in lm- mlm- ""; do
            compgen -G "$RUNS/${kind}exp-seed*/analysis/analysis.json" >/dev/null || continue
            printf '\n'
            plugin_command compare-analyses "$RUNS/$kind"*-seed*/ --baseline "${kind}exp" \
                --json "$RUNS/${kind}costs.json" --csv "$RUNS/${kind}costs.csv" --plot "$RUNS/${kind}costs.png"
        done
        return
    fi
    [[ "$SMOKE" == 0 ]] || options=(--r "1,4" --batches 1)
    resolve_gpus
    [[ "$GPUS" -gt 0 ]] || options+=(--cpu)
    run_analysis "$(run_folder)" ${options[@]+"${options[@]}"}
}

run_analysis() {
    local run="$1"
    shift
    plugin_command analyse-attention "$run/checkpoint_best.pt" "$DATA" --out "$run/analysis" "${ANALYSIS[@]}" "$@"
}
