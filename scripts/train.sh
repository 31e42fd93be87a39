#!/usr/bin/env bash
# Train a model: fairseq-train with the plugin, progress with an estimate, and exact resumption.
#
#   scripts/train.sh DATA_BIN --arch ARCH --save-dir DIR [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --arch ARCH          architecture, e.g. transformer_neuralqkv_tiny
#   --save-dir DIR       checkpoints, train.log, command.sh, run.json, and text/: what the text went through, if DATA_BIN
#                        is of a prepare script; a folder that is not empty needs --resume
#   --max-update N       stop after N updates
#   --max-epoch N        stop after N epochs
#   --max-tokens N       target tokens that one device takes at once (default 4096)
#   --batch-tokens N     tokens of one update over all devices: --update-freq follows from it, so that the effective
#                        batch stays the same whatever the number of devices
#   --save-every N       also save every N updates (the last two are kept): bounds what an interruption can lose
#   --log-interval N     updates between two progress lines (default: a fortieth of --max-update, 1 to 100)
#   --preset NAME        fast: the same training in less time: the fused twins of the criterion and of Adam, wherever they
#                        are given, and --fast-dropout; fast-bf16: with matrix products in bfloat16 besides; none: all as
#                        fairseq does it. Says what it set; what has no faster twin stays as it is (default: fast on CPUs,
#                        none on GPUs; a run that is resumed keeps its own, and may be given another)
#   --processes N        N processes on the CPU of each machine (gloo), with --cpu
#   --hang-timeout SEC   a training without an update or validation step for so long prints where its processes are
#                        and is killed (default 1800; 0: never)
#   --grace SEC          time that a training which is told to stop has to save and end (default 120)
#
#   --nodes N            on N machines at once: call this with the same options on each of them, and with
#   --node-rank R        which of them this is, from 0 (default: Slurm's number of it, or 0)
#   --rendezvous HOST:PORT    an address of machine 0 that the others reach, and a free port there
#                        DATA_BIN and DIR must be on a file system that all of them see. scripts/slurm does all this.
#
#   --gpus N, --cpu      number of GPUs of this machine; 0 or --cpu = CPU (default: all GPUs there are)
#   --resume             go on from the newest checkpoint that can be read; start if there is none; a finished run
#                        is left alone
#   --seed N             random seed (default 1)
#   --smoke              a few updates of a tiny model: shows in seconds that everything fits together
#   --dry-run            print the commands, write nothing
#   --plan               print what the training takes (parameters, updates, memory, time, disk), do nothing
#   --throughput N       for --plan: target tokens a second and device
#   --describe           for programs: what is known of the data, and the words for fairseq-train, each ended by a NUL
#
# Everything after -- goes to fairseq-train as it is. Unless it names them, the usual ones for translation are added:
# label smoothing 0.1, Adam 0.9/0.98, lr 5e-4 inverse_sqrt with 4000 warm-up updates, the last 5 epochs kept.
# The exit status is not 0 if training failed or was stopped. SIGINT or SIGTERM (what clusters send before they take a
# machine away) saves and stops after the update that runs; a second SIGINT kills.
#
# Examples:
#   scripts/train.sh data-bin/toy --arch transformer_neuralqkv_tiny --save-dir runs/toy --max-update 1000
#   scripts/train.sh data-bin/toy --arch transformer_neuralqkv_tiny --save-dir runs/toy --max-update 1000 --resume
#   scripts/train.sh data-bin/iwslt17 --arch transformer_neuralqkv_iwslt_de_en --save-dir runs/iwslt17 --gpus 4 \
#       --batch-tokens 16384 --max-epoch 50 -- --dropout 0.3 --weight-decay 0.0001 --fp16
#   scripts/train.sh data-bin/toy --arch transformer_neuralqkv_tiny --save-dir runs/toy --max-epoch 9 --cpu --preset fast
#   scripts/train.sh data-bin/wmt14 --arch transformer_pairwise_wmt_en_de --save-dir runs/wmt14 --gpus 8 --nodes 2 \
#       --node-rank 1 --rendezvous node-a:29500 --batch-tokens 25000 --max-update 100000

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DATA=""
ARCH=""
SAVE_DIR=""
MAX_UPDATE=""
MAX_EPOCH=""
MAX_TOKENS=4096
BATCH_TOKENS=""
SAVE_EVERY=""
LOG_INTERVAL=""
PROCESSES=1
HANG_TIMEOUT=1800
GRACE=120

OPTIONS=(
    --arch=ARCH --save-dir=SAVE_DIR:folder --max-update=MAX_UPDATE:count --max-epoch=MAX_EPOCH:count
    --max-tokens=MAX_TOKENS:count --batch-tokens=BATCH_TOKENS:count --save-every=SAVE_EVERY:count
    --log-interval=LOG_INTERVAL:count --processes=PROCESSES:count --hang-timeout=HANG_TIMEOUT:seconds --grace=GRACE:count
)
PASSES_ON=fairseq-train
seconds() { [[ "$2" =~ ^[0-9]+$ ]] || die "$1 needs a number of seconds (0: never), not '$2'" 2; }
other_word() { only_word DATA "DATA_BIN folder" "$1"; }
read_options "$@"

[[ -n "$DATA" ]] || die "which data? Give the folder that fairseq-preprocess wrote; see $PROGRAM --help" 2
[[ -n "$ARCH" ]] || die "which model? Give --arch; see $PROGRAM --help" 2
[[ -n "$SAVE_DIR" ]] || die "where to? Give --save-dir; see $PROGRAM --help" 2
for option in --arch --save-dir --seed --max-update --max-epoch --max-tokens --user-dir --cpu --update-freq \
    --restore-file --log-format; do
    ! given "$option" ${EXTRA[@]+"${EXTRA[@]}"} ||
        die "$option is set by this script: give it before the --, or use fairseq-train itself (see $PROGRAM --help)" 2
done
[[ "$PROCESSES" == 1 || "$GPUS" == 0 ]] || die "--processes is for the CPU; add --cpu, or use --gpus N" 2

check_nodes

use_python
resolve_gpus
PER_NODE="$GPUS"
[[ "$GPUS" -gt 0 ]] || PER_NODE="$PROCESSES"
DEVICES=$((PER_NODE * NODES))

if [[ "$DRY_RUN" == 0 ]]; then
    [[ -d "$DATA" ]] || die "no folder $DATA; make it with fairseq-preprocess or one of scripts/prepare_*.sh"
    # fairseq's sentence_prediction has its dictionary in input0/.
    compgen -G "$DATA/dict*.txt" >/dev/null || [[ -f "$DATA/input0/dict.txt" ]] || die "$DATA holds no dict*.txt; it is not a folder of fairseq-preprocess"
fi

if [[ "$SMOKE" == 1 ]]; then
    MAX_UPDATE=6 MAX_EPOCH="" MAX_TOKENS=400 BATCH_TOKENS="" LOG_INTERVAL=1 SAVE_EVERY=3
fi

# The same tokens an update on any number of devices: first more steps an update, then smaller steps.
UPDATE_FREQ=1
if [[ -n "$BATCH_TOKENS" ]]; then
    [[ "$BATCH_TOKENS" -ge "$DEVICES" ]] || die "--batch-tokens $BATCH_TOKENS is too little for $DEVICES devices" 2
    UPDATE_FREQ=$(((BATCH_TOKENS + MAX_TOKENS * DEVICES - 1) / (MAX_TOKENS * DEVICES)))
    MAX_TOKENS=$((BATCH_TOKENS / (UPDATE_FREQ * DEVICES)))
fi
ON_NODES="" # of several machines
[[ "$NODES" == 1 ]] || ON_NODES="on $NODES machines "
note "effective batch: $MAX_TOKENS tokens x $DEVICES $([[ "$GPUS" -gt 0 ]] && echo "GPU(s)" || echo "CPU process(es)")" \
    "${ON_NODES}x update-freq $UPDATE_FREQ = $((MAX_TOKENS * DEVICES * UPDATE_FREQ)) tokens an update"

if [[ -z "$LOG_INTERVAL" ]]; then
    LOG_INTERVAL=$((${MAX_UPDATE:-4000} / 40))
    LOG_INTERVAL=$((LOG_INTERVAL < 1 ? 1 : LOG_INTERVAL > 100 ? 100 : LOG_INTERVAL))
fi

# add_default OPTION VALUE...: unless the caller gave OPTION himself.
add_default() { given "$1" ${EXTRA[@]+"${EXTRA[@]}"} || TRAIN+=("$@"); }

# default_preset: fast on CPUs, where it was measured; what a run that goes on began with.
default_preset() {
    local begun="$SAVE_DIR/command.sh"
    PRESET=none
    if [[ "$RESUME" == 1 && -f "$begun" ]]; then
        ! grep -qE -e '--(criterion|optimizer)[ =]fused_|--fast-dropout' "$begun" || PRESET=fast
        ! grep -qE -e '--criterion[ =]autocast_|--autocast-bf16' "$begun" || PRESET=fast-bf16
    elif [[ "$GPUS" == 0 ]]; then
        PRESET=fast
    fi
}

# apply_preset: what --preset says of the criterion, the optimizer and dropout, in TRAIN, wherever they stand there.
apply_preset() {
    local option answer cpu=()
    [[ "$GPUS" -gt 0 ]] || cpu=(--cpu)
    for option in --fp16 --bf16 --amp --memory-efficient-fp16 --memory-efficient-bf16; do
        [[ "$PRESET" != fast-bf16 ]] || ! given "$option" "${TRAIN[@]}" ||
            die "--preset fast-bf16: half precision of another kind, $option, is given: leave it out, or take --preset fast" 2
    done
    mapfile -d "" -t answer < <(LOGLEVEL=WARNING "$PYTHON" -m fairseq_plugins.cli apply-preset --preset "$PRESET" \
        --arch "$ARCH" ${cpu[@]+"${cpu[@]}"} -- "${TRAIN[@]}")
    [[ "${#answer[@]}" -gt 0 ]] || exit 1
    note "${answer[0]}"
    TRAIN=("${answer[@]:1}")
}

# network_interface: the one that leads to machine 0; gloo would take the host name's, which may be the loopback.
network_interface() {
    local host name=""
    [[ -z "${GLOO_SOCKET_IFNAME:-}" ]] && command -v ip >/dev/null || return 0
    host="$(getent ahosts "${RENDEZVOUS%:*}" | awk 'NR == 1 {print $1}')"
    [[ -n "$host" ]] || return 0
    if [[ "$NODE_RANK" == 0 ]]; then
        name="$(ip -o addr show to "$host" | awk 'NR == 1 {print $2}')"
    else
        name="$(ip -o route get "$host" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')"
    fi
    [[ -z "$name" ]] || export GLOO_SOCKET_IFNAME="$name"
}

fairseq_command train
TRAIN=("${FAIRSEQ[@]}" "$DATA" --user-dir "$ROOT/fairseq_plugins" --arch "$ARCH" --save-dir "$SAVE_DIR" --seed "$SEED"
    --max-tokens "$MAX_TOKENS" --update-freq "$UPDATE_FREQ" --log-format json --log-interval "$LOG_INTERVAL")
[[ -z "$MAX_UPDATE" ]] || TRAIN+=(--max-update "$MAX_UPDATE")
[[ -z "$MAX_EPOCH" ]] || TRAIN+=(--max-epoch "$MAX_EPOCH")
[[ -z "$SAVE_EVERY" ]] || TRAIN+=(--save-interval-updates "$SAVE_EVERY" --keep-interval-updates 2)
given --no-epoch-checkpoints ${EXTRA[@]+"${EXTRA[@]}"} || add_default --keep-last-epochs 5
# Options of a criterion, an optimizer or a scheduler exist only together with it.
if ! given --criterion ${EXTRA[@]+"${EXTRA[@]}"}; then
    TRAIN+=(--criterion label_smoothed_cross_entropy)
    add_default --label-smoothing 0.1
fi
if ! given --optimizer ${EXTRA[@]+"${EXTRA[@]}"}; then
    TRAIN+=(--optimizer adam)
    add_default --adam-betas "(0.9, 0.98)"
fi
add_default --lr 0.0005
if ! given --lr-scheduler ${EXTRA[@]+"${EXTRA[@]}"}; then
    TRAIN+=(--lr-scheduler inverse_sqrt)
    add_default --warmup-updates 4000
fi
TRAIN+=(${EXTRA[@]+"${EXTRA[@]}"})
[[ -n "$PRESET" ]] || default_preset
[[ "$PRESET" != fast-int8 ]] || die "--preset fast-int8 is for translation; choose none, fast or fast-bf16" 2
[[ "$PRESET" == none ]] || apply_preset
if [[ "$SMOKE" == 1 ]]; then
    case "$ARCH" in
        transformer_lm* | roberta*) ;;
        *)
            for side in encoder decoder; do
                smoke_sizes "$side"
                TRAIN+=("${SIZES[@]}")
            done
            ;;
    esac
fi

if [[ "$DESCRIBING" == 1 ]]; then
    printf '%s\0' "kind=${KIND:-}" "vocabulary=${VOCABULARY:-}" "train_tokens=${TRAIN_TOKENS:-}" "${TRAIN[@]:${#FAIRSEQ[@]}}"
    exit 0
fi
if [[ "$PLANNING" == 1 ]]; then
    # A recipe says how large its dictionary will be; otherwise there is one to count.
    if [[ -z "${VOCABULARY:-}" ]]; then
        dictionary="$(compgen -G "$DATA/dict*.txt" | head -1)" || true
        [[ -n "$dictionary" ]] || die "--plan needs a dictionary: $DATA holds no dict*.txt"
        VOCABULARY=$(($(wc -l <"$dictionary") + 4))
    fi
    plan=(--vocabulary "$VOCABULARY" --devices "$DEVICES" --nodes "$NODES")
    [[ "$GPUS" -gt 0 ]] || plan+=(--cpu)
    [[ -z "${TRAIN_TOKENS:-}" ]] || plan+=(--train-tokens "$TRAIN_TOKENS")
    [[ -z "${DISK_GB:-}" ]] || plan+=(--disk-gb "$DISK_GB")
    [[ -z "$THROUGHPUT" ]] || plan+=(--throughput "$THROUGHPUT")
    LOGLEVEL=WARNING exec "$PYTHON" -m fairseq_plugins.cli plan "${plan[@]}" -- "${TRAIN[@]:${#FAIRSEQ[@]}}"
fi
if [[ "$GPUS" == 0 ]]; then
    TRAIN+=(--cpu)
    cpu_environment
    [[ "$DEVICES" == 1 ]] || TRAIN+=(--distributed-backend gloo --ddp-backend legacy_ddp)
fi
if [[ "$DEVICES" -gt 1 ]]; then
    rest=("${TRAIN[@]:${#FAIRSEQ[@]}}")
    script=(-m fairseq_cli.train)
    if [[ "${#FAIRSEQ[@]}" == 1 ]]; then
        script=("${FAIRSEQ[0]}")
        [[ "$DRY_RUN" == 1 ]] || script=("$(command -v "${FAIRSEQ[0]}")")
    fi
    meet=(--standalone)
    # Fixed ranks: the machine with rank 0 keeps the records and writes the checkpoints.
    if [[ "$NODES" -gt 1 ]]; then
        meet=(--nnodes "$NODES" --node_rank "$NODE_RANK" --rdzv_backend static --rdzv_endpoint "$RENDEZVOUS")
        [[ "$GPUS" -gt 0 ]] || network_interface
    fi
    TRAIN=("$PYTHON" -m torch.distributed.run "${meet[@]}" --nproc_per_node "$PER_NODE" "${script[@]}" "${rest[@]}")
    # Each process spins its own threads: share the cores, or all of them crawl.
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((($(getconf _NPROCESSORS_ONLN) + PER_NODE - 1) / PER_NODE))}"
fi

if [[ "$DRY_RUN" == 1 ]]; then
    show_command "${TRAIN[@]}"
    exit 0
fi

# What is in the folder already decides where to begin; the other machines ask as machine 0 does, and change nothing.
# Another machine's log and lock may be there first.
if [[ -d "$SAVE_DIR" && -n "$(find "$SAVE_DIR" -mindepth 1 -not -name '*.node[0-9]*' -print -quit)" &&
    ("$RESUME" == 1 || "$NODE_RANK" == 0) ]]; then
    [[ "$RESUME" == 1 ]] ||
        die "$SAVE_DIR is not empty; add --resume to go on with the run in it, or choose another --save-dir"
    point="$(LOGLEVEL=WARNING "$PYTHON" "$ROOT/scripts/resume_point.py" "$SAVE_DIR" "${MAX_UPDATE:-0}" "${MAX_EPOCH:-0}" \
        "$NODE_RANK")" || exit 1
    read -r verdict updates checkpoint <<<"$point"
    case "$verdict" in
        finished)
            note "$SAVE_DIR is finished ($updates updates); nothing to do"
            exit 0
            ;;
        resume)
            note "going on from $checkpoint ($updates updates)"
            if [[ "$(basename "$checkpoint")" != checkpoint_last.pt ]]; then
                TRAIN+=(--restore-file "$checkpoint")
                # fairseq refuses both, and what the run began with is in the checkpoint.
                ! given --finetune-from-model ${EXTRA[@]+"${EXTRA[@]}"} || TRAIN+=(--finetune-from-model "")
            fi
            ;;
        *) note "no checkpoint in $SAVE_DIR yet: starting" ;;
    esac
elif [[ "$RESUME" == 1 ]]; then
    note "nothing in $SAVE_DIR yet: starting"
fi

mkdir -p "$SAVE_DIR" || die "cannot make the folder $SAVE_DIR; choose another --save-dir"
if [[ "$NODE_RANK" == 0 && ! -e "$SAVE_DIR/command.sh" ]]; then
    {
        printf '#!/usr/bin/env bash\n# Started %s in this folder:\n' "$(date '+%Y-%m-%d %H:%M:%S')"
        show_command cd "$PWD"
        [[ "$GPUS" -gt 0 ]] || show_command export "MALLOC_MMAP_MAX_=$MALLOC_MMAP_MAX_" \
            "MALLOC_TRIM_THRESHOLD_=$MALLOC_TRIM_THRESHOLD_"
        show_command "${TRAIN[@]}"
    } >"$SAVE_DIR/command.sh.tmp"
    mv "$SAVE_DIR/command.sh.tmp" "$SAVE_DIR/command.sh"
    # With it the run can be moved and still translate.
    [[ ! -f "$DATA/../text.json" ]] || "$PYTHON" "$ROOT/scripts/keep_text_record.py" "$DATA" "$SAVE_DIR/text"
fi
exec "$PYTHON" "$ROOT/scripts/watch_training.py" --save-dir "$SAVE_DIR" --max-update "${MAX_UPDATE:-0}" \
    --max-epoch "${MAX_EPOCH:-0}" --node-rank "$NODE_RANK" --hang-timeout "$HANG_TIMEOUT" --grace "$GRACE" \
    --record "arch=$ARCH" --record "seed=$SEED" --record "data=$DATA" --record "nodes=$NODES" \
    --record "devices=$DEVICES $([[ "$GPUS" -gt 0 ]] && echo GPU || echo CPU)" \
    --record "batch_tokens=$((MAX_TOKENS * DEVICES * UPDATE_FREQ))" -- "${TRAIN[@]}"
