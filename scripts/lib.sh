# shellcheck shell=bash
# Sourced by every script in scripts/ and examples/: strict mode, messages, and the Python to run.

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PROGRAM="$(basename "$0")"
export ROOT PROGRAM

note() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

# die MESSAGE [EXIT_STATUS]: one sentence that names the cause and the remedy, then stop. DIED says that it was said.
DIED=""
die() {
    # shellcheck disable=SC2034 # read where a script ends
    DIED=1
    printf '%s: error: %s\n' "$PROGRAM" "$1" >&2
    exit "${2:-1}"
}

# print_usage SCRIPT: the comment block at the head of a script is its --help.
print_usage() { sed -n '2,/^[^#]/{/^# shellcheck /d;/^#/{s/^# \{0,1\}//;p;}}' "$1"; }

# need_value OPTION REMAINING_ARGUMENT_COUNT: an option's value must follow it.
need_value() { [[ "$2" -ge 2 ]] || die "$1 needs a value; see $PROGRAM --help" 2; }

# full_disk MEGABYTES FOLDER...: print the first folder whose disk has less than that free; status 1 if there is none.
full_disk() {
    local limit="$1" folder free
    shift
    for folder in "$@"; do
        free="$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 { print $4 }')" || true
        if [[ -n "$free" && "$free" -lt $((limit * 1024)) ]]; then
            printf '%s\n' "$folder"
            return 0 # said, because in a trap a bare return gives the status from before the trap
        fi
    done
    return 1
}

# proxies: the proxies that the environment sets, without their passwords: " (https_proxy=http://host:3128)", or nothing.
proxies() {
    local name found=""
    for name in PIP_PROXY https_proxy HTTPS_PROXY http_proxy HTTP_PROXY all_proxy ALL_PROXY; do
        [[ -z "${!name:-}" ]] || found+="${found:+, }$name=$(sed -E 's,^([a-z0-9]+://)?.*@,\1,' <<<"${!name}")"
    done
    printf '%s' "${found:+ ($found)}"
}

# use_python: set PYTHON to the interpreter of the project's environment and put its commands on PATH.
# An interpreter chosen by the caller (PYTHON=...) or an active environment comes first.
use_python() {
    if [[ -z "${PYTHON:-}" ]]; then
        if [[ -n "${VIRTUAL_ENV:-}" && -x "$VIRTUAL_ENV/bin/python" ]]; then
            PYTHON="$VIRTUAL_ENV/bin/python"
        elif [[ -x "$ROOT/.venv/bin/python" ]]; then
            PYTHON="$ROOT/.venv/bin/python"
        else
            PYTHON="$(command -v python3 || true)"
        fi
    fi
    [[ -n "$PYTHON" ]] || die "no Python found; run: bash scripts/setup.sh"
    # A script that called this one may have looked already.
    [[ "${FAIRSEQ_PLUGINS_PYTHON:-}" == "$PYTHON" ]] || "$PYTHON" "$ROOT/scripts/inspect_env.py" has torch fairseq ||
        die "$PYTHON has no torch or fairseq; run: bash scripts/setup.sh, or set PYTHON to an interpreter that has them"
    export FAIRSEQ_PLUGINS_PYTHON="$PYTHON"
    PATH="$(dirname "$PYTHON"):$PATH"
    export PYTHON PATH
    export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
}

# The options that every pipeline script takes. GPUS=auto means: as many as there are.
# shellcheck disable=SC2034 # read by the scripts that source this file
{
    GPUS=auto
    SEED=1
    RESUME=0
    DRY_RUN=0
    SMOKE=0
    PLANNING=0
    DESCRIBING=0
    THROUGHPUT=""
    NODES=1
    NODE_RANK=0
    RENDEZVOUS=""
    PRESET=""
}

# What a script's command line may hold, an entry an option: OPTIONS is its own, SHARED_OPTIONS that of all of its kind.
#
#   --option=VARIABLE[:CHECK]...  the option's value goes to VARIABLE. A CHECK is a function: it is called with the option
#                                 and the value, stops at a bad value, and may make another one of it, in VALUE
#   --option=VARIABLE:NUMBER      the option takes no value; VARIABLE becomes NUMBER
#   --option=:FUNCTION            the option takes no value; FUNCTION is called with it
#
# With PASSES_ON, the name of a command, the words after -- are that command's, in EXTRA.
# shellcheck disable=SC2034
OPTIONS=() EXTRA=() PASSES_ON=""
SHARED_OPTIONS=(
    --gpus=GPUS:gpu_count --cpu=GPUS:0 --nodes=NODES:machine_count --node-rank=NODE_RANK:number
    --rendezvous=RENDEZVOUS:host_and_port --seed=SEED:number --preset=PRESET:preset_name --resume=RESUME:1
    --dry-run=DRY_RUN:1 --smoke=SMOKE:1 --plan=:plan_only --throughput=THROUGHPUT:throughput --describe=:describe_only
)

# read_options "$@": the words of a command line, by these tables; a word that neither has goes to other_word.
# shellcheck disable=SC2034 # EXTRA, which the scripts read
read_options() {
    local entry checks check VALUE
    while [[ $# -gt 0 ]]; do
        if [[ "$1" == -- && -n "$PASSES_ON" ]]; then
            EXTRA=("${@:2}")
            return
        fi
        for entry in ${OPTIONS[@]+"${OPTIONS[@]}"} "${SHARED_OPTIONS[@]}" -h=:show_usage --help=:show_usage "$1=:other_word"; do
            [[ "$entry" != "$1="* ]] || break
        done
        IFS=: read -r -a checks <<<"${entry#"$1="}"
        if [[ -z "${checks[0]}" ]]; then
            "${checks[1]}" "$1"
        elif [[ "${checks[1]:-}" =~ ^[0-9]+$ ]]; then
            printf -v "${checks[0]}" %s "${checks[1]}"
        else
            need_value "$1" "$#"
            VALUE="$2"
            for check in "${checks[@]:1}"; do "$check" "$1" "$VALUE"; done
            printf -v "${checks[0]}" %s "$VALUE"
            shift
        fi
        shift
    done
}

show_usage() {
    print_usage "$0"
    exit 0
}

# other_word WORD: what to do with a word that is no option of a script; one that takes words says it anew.
other_word() { unknown_option "$1"; }
unknown_option() { die "unknown option $1; ${PASSES_ON:+options of $PASSES_ON go after --; }see $PROGRAM --help" 2; }

# only_word VARIABLE NAME WORD: the one word that a script takes besides its options, to VARIABLE.
only_word() {
    [[ "$3" != -* ]] || unknown_option "$3"
    [[ -z "${!1}" ]] || die "one $2, not also '$3'; see $PROGRAM --help" 2
    printf -v "$1" %s "$3"
}

# Checks of values, for the tables above.
# shellcheck disable=SC2034
{
    folder() { VALUE="${2%/}"; }
    filled() { [[ -n "$2" ]] || die "$1 needs a value; see $PROGRAM --help" 2; }
    count() { [[ "$2" =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number of at least 1, not '$2'" 2; }
    number() { [[ "$2" =~ ^[0-9]+$ ]] || die "$1 needs a number, not '$2'" 2; }
    gpu_count() { [[ "$2" =~ ^[0-9]+$ ]] || die "--gpus needs a number (0 = CPU), not '$2'" 2; }
    host_and_port() { [[ "$2" =~ ^.+:[0-9]+$ ]] || die "--rendezvous needs HOST:PORT of the first machine, not '$2'" 2; }
    preset_name() {
        [[ "$2" =~ ^(none|fast|fast-bf16|fast-int8)$ ]] || die "--preset $2: choose none, fast, fast-bf16 or fast-int8" 2
    }
    throughput() { [[ "$2" =~ ^[1-9][0-9]*$ ]] || die "--throughput needs target tokens a second and device, not '$2'" 2; }
    plan_only() { PLANNING=1 DRY_RUN=1; }
    describe_only() { PLANNING=1 DRY_RUN=1 DESCRIBING=1; }
    machine_count() {
        [[ "$2" =~ ^[0-9]+$ && "$2" -gt 0 ]] || die "--nodes needs a number, not '$2'" 2
        [[ "$2" == 1 || "$NODE_RANK" != 0 ]] || NODE_RANK="${SLURM_NODEID:-0}"
    }
}

# common_flags: the common options as given, to hand on to another script, in COMMON_FLAGS.
common_flags() {
    COMMON_FLAGS=(--seed "$SEED")
    [[ "$GPUS" == auto ]] || COMMON_FLAGS+=(--gpus "$GPUS")
    [[ "$NODES" == 1 ]] || COMMON_FLAGS+=(--nodes "$NODES" --node-rank "$NODE_RANK" --rendezvous "$RENDEZVOUS")
    [[ "$RESUME" == 0 ]] || COMMON_FLAGS+=(--resume)
    if [[ "$DESCRIBING" == 1 ]]; then
        COMMON_FLAGS+=(--describe)
    elif [[ "$PLANNING" == 1 ]]; then
        COMMON_FLAGS+=(--plan ${THROUGHPUT:+--throughput "$THROUGHPUT"})
    fi
    [[ "$DRY_RUN" == 0 || "$PLANNING" == 1 ]] || COMMON_FLAGS+=(--dry-run)
    [[ "$SMOKE" == 0 ]] || COMMON_FLAGS+=(--smoke)
}

# check_nodes: what --nodes needs besides.
check_nodes() {
    [[ "$NODES" -gt 1 || ("$NODE_RANK" == 0 && -z "$RENDEZVOUS") ]] || die "--node-rank and --rendezvous need --nodes" 2
    [[ "$NODES" == 1 || -n "$RENDEZVOUS" ]] ||
        die "--nodes $NODES needs --rendezvous HOST:PORT, an address of the machine with --node-rank 0 and a free port" 2
    [[ "$NODE_RANK" -lt "$NODES" ]] || die "--node-rank $NODE_RANK: the machines of --nodes $NODES count from 0 to $((NODES - 1))" 2
}

# resolve_gpus: turn GPUS=auto into a number and refuse more GPUS than there are. Call use_python first.
resolve_gpus() {
    local there=0
    [[ "$GPUS" != 0 ]] || return 0
    # A dry run may be for another machine.
    [[ "$GPUS" == auto || "$DRY_RUN" == 0 ]] || return 0
    # Asking torch takes seconds: only where a driver's device file says that it is worth it.
    if compgen -G '/dev/nvidia[0-9]*' >/dev/null || [[ -e /dev/kfd || -e /dev/dxg ]]; then
        there="$("$PYTHON" "$ROOT/scripts/inspect_env.py" gpus)"
    fi
    [[ "$GPUS" != auto ]] || GPUS="$there"
    [[ "$GPUS" -le "$there" ]] || die "--gpus $GPUS, but torch sees $there here; use --gpus $there"
}

# use_devices ASKED: for what a run of --gpus ASKED computes, PROCESSES with a GPU each, or on the CPU, which they share.
use_devices() {
    local cores
    [[ "$1" != auto || "$GPUS" == 0 ]] || GPUS=1 # nobody asked for more than one
    [[ "$PROCESSES" == 1 || "$GPUS" == 0 ]] || die "--processes is for the CPU; add --cpu, or use --gpus N" 2
    [[ "$GPUS" == 0 ]] || PROCESSES="$GPUS"
    if [[ "$PROCESSES" -gt 1 ]]; then
        # Each process spins its own threads: share the cores, or all of them crawl.
        cores="$(getconf _NPROCESSORS_ONLN)"
        export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > PROCESSES ? cores / PROCESSES : 1))}"
    fi
}

# choose_checkpoint: the best checkpoint of SAVE_DIR, or the last, in CHECKPOINT where none is given.
choose_checkpoint() {
    [[ -z "$CHECKPOINT" ]] || return 0
    CHECKPOINT="$SAVE_DIR/checkpoint_best.pt"
    [[ -e "$CHECKPOINT" || ! -e "$SAVE_DIR/checkpoint_last.pt" ]] || CHECKPOINT="$SAVE_DIR/checkpoint_last.pt"
}

# record_of DATA_BIN: the text.json beside it that is of its dictionaries, or nothing.
record_of() {
    local folder
    folder="$(cd "$1" 2>/dev/null && pwd -P)" || return 0
    if grep -qsF "\"name\": \"${folder##*/}/dict." "${folder%/*}/text.json"; then echo "${folder%/*}/text.json"; fi
}

# preset_options: what PRESET adds to the options of fairseq, where a trained model is used, in PRESET_OPTIONS. Nothing is
# chosen for GPUs, on which nothing was measured.
# shellcheck disable=SC2034
preset_options() {
    local asked="$PRESET" weights="" missing="" besides=""
    PRESET_OPTIONS=()
    [[ -n "$PRESET" || "$GPUS" -gt 0 ]] || PRESET=fast
    case "$PRESET" in
        "" | none) return 0 ;;
        fast-bf16) weights=bfloat16 ;;
        fast-int8) weights=int8 ;;
    esac
    if given --model-overrides ${EXTRA[@]+"${EXTRA[@]}"}; then
        [[ -z "$asked" ]] || note "--preset $PRESET: --model-overrides is given; name fast_inference there"
        return 0
    fi
    if [[ -n "$weights" ]]; then
        missing="it is for CPUs"
        [[ "$GPUS" -gt 0 ]] ||
            missing="$("$PYTHON" -c "from fairseq_plugins.runtime.processor import lacks; print(lacks('$weights'))")"
        [[ -z "$missing" ]] || note "--preset $PRESET is fast alone, without weights in $weights: $missing"
    fi
    [[ -z "$weights" || -n "$missing" ]] || besides=", 'inference_weights': '$weights'"
    PRESET_OPTIONS=(--model-overrides "{'fast_inference': True$besides}")
}

# fairseq_command NAME: how to call fairseq-NAME with the chosen Python, in FAIRSEQ.
# shellcheck disable=SC2034
fairseq_command() {
    if [[ -x "$(dirname "$PYTHON")/fairseq-$1" ]]; then
        FAIRSEQ=("fairseq-$1")
    else
        FAIRSEQ=("$PYTHON" -m "fairseq_cli.$1")
    fi
}

# cpu_environment: keep freed memory; giving it back to the system after every tensor costs page faults.
cpu_environment() {
    export MALLOC_MMAP_MAX_="${MALLOC_MMAP_MAX_:-0}"
    export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-100000000000}"
}

# show_command WORD...: a command on stdout, quoted so that it can be pasted into a shell. A plan shows none.
show_command() {
    local word line=""
    [[ "$PLANNING" == 0 ]] || return 0
    for word in "$@"; do
        [[ "$word" =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="${word@Q}"
        line+="${line:+ }$word"
    done
    printf '%s\n' "$line"
}

# run_command WORD...: run it, or show it.
run_command() {
    if [[ "$DRY_RUN" == 1 ]]; then show_command "$@"; else LOGLEVEL=WARNING "$@"; fi
}

# plugin_command COMMAND WORD...: a command of fairseq-plugins, or show it. Call use_python first.
plugin_command() { run_command "$PYTHON" -m fairseq_plugins.cli "$@"; }

# run_stage WORD...: run one script of the pipeline, or show what it would run. It is stopped with the caller.
#
# A plan is made of the training alone, of the command and of what the recipe says of its data. Of several machines the
# first does everything; the others wait for its data, train, and are done. A preset is for training and translation,
# which is in float32 whatever the training is in.
run_stage() {
    local preset="$PRESET"
    [[ "$1" != */generate.sh || "$PRESET" != fast-bf16 ]] || preset=fast
    [[ -z "$PRESET" || ("$1" != */train.sh && "$1" != */generate.sh) ]] || set -- "$1" --preset "$preset" "${@:2}"
    if [[ "$PLANNING" == 1 ]]; then
        [[ "$1" == */train.sh ]] || return 0
        export KIND="${KIND:-}" VOCABULARY="${VOCABULARY:-}" TRAIN_TOKENS="${TRAIN_TOKENS:-}" DISK_GB="${DISK_GB:-}"
    elif [[ "$NODE_RANK" != 0 && "$DRY_RUN" == 0 && "$1" == */prepare_*.sh ]]; then
        note "machine $NODE_RANK waits for the data in $DATA_DIR/bin"
        until [[ -d "$DATA_DIR/bin" ]]; do sleep 2; done
        return 0
    elif [[ "$NODE_RANK" != 0 && "$1" != */train.sh ]]; then
        return 0
    fi
    stage_of_pipeline "$@" || return
    [[ "$NODE_RANK" == 0 || "$DRY_RUN" == 1 ]] || exit 0
}

# stage_of_pipeline WORD...: bash WORD... in a process group of its own, which is told of this shell's signals.
stage_of_pipeline() {
    local child status=0
    set -m
    FAIRSEQ_PLUGINS_STOP_WITH_PARENT=1 bash "$@" </dev/null &
    child=$!
    set +m
    # shellcheck disable=SC2064 # this child
    trap "kill -INT $child 2>/dev/null" INT
    # shellcheck disable=SC2064
    trap "kill -TERM $child 2>/dev/null" TERM
    wait "$child" || status=$?
    # A signal ends the wait; the stage ends in its own time.
    while kill -0 "$child" 2>/dev/null; do
        status=0
        wait "$child" || status=$?
    done
    trap - INT TERM
    return "$status"
}

# smoke_sizes SIDE [OPTION...]: a tiny encoder or decoder, in SIZES.
# shellcheck disable=SC2034
smoke_sizes() {
    SIZES=("--$1-layers" 1 "--$1-embed-dim" 32 "${@:2}" "--$1-ffn-embed-dim" 32 "--$1-attention-heads" 2)
}

# given OPTION WORD...: whether OPTION stands among the words, as "--opt value" or "--opt=value".
given() {
    local option="$1" word
    shift
    for word in "$@"; do
        [[ "$word" != "$option" && "$word" != "$option="* ]] || return 0
    done
    return 1
}
