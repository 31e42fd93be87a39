#!/usr/bin/env bash
# Fine-tune a pretrained masked language model on GLUE with several seeds, and print the table of its scores.
#
#   examples/symmetric_attention/glue.sh --checkpoint FILE [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --checkpoint FILE    of a RoBERTa-like model: fairseq's, or any roberta_* architecture of ours; its architecture and
#                        sizes are read from it
#   --glue-data DIR      what scripts/prepare_glue.sh wrote, with the BPE and dictionary of the pretraining
#                        (default data/glue)
#   --from DIR --bpe-dir DIR [--dict FILE]    prepare --glue-data first; see scripts/prepare_glue.sh
#   --runs DIR           where the runs go: DIR/TASK-seedN (default runs/glue/NAME, NAME the checkpoint's folder)
#   --tasks A,B          only these tasks (default: all that are prepared; the missing ones are named)
#   --seeds 1,2,3,4,5    fine-tuning seeds (this is the default)
#   --lr LR, --epochs N, --batch N    the paper's are 1e-5, 5 and 16 (the default); small models need a larger LR
#   --keep-checkpoints   keep the fine-tuned models; else only their predictions and scores stay
#   --table              no run: print the table of the finished runs in --runs
#   --gpus 1, --cpu      one device a run (default: a GPU if there is one)
#   --resume             go on with an unfinished run where it stopped. Finished runs are kept with or without it
#   --smoke              two toy tasks, a toy model and nothing else: shows that everything fits together
#   --dry-run            print the commands, write nothing
#
# The protocol of Courtois et al. (2024): linear decay after a warm-up over a tenth of the updates, development sets,
# examples cut to 128 tokens when they are prepared. What the paper leaves open: AdamW 0.9/0.999, epsilon 1e-8, no weight
# decay, gradients clipped to norm 1, dropout 0.1 before the classifier and the pretraining's elsewhere, scores of the
# last update. --runs also gets table.json, table.csv and table.png. A table of several models:
#   fairseq-plugins glue-table runs/glue/*/
#
# Examples:
#   examples/symmetric_attention/glue.sh --checkpoint runs/wikitext-2/pairwise-seed1/checkpoint_best.pt \
#       --glue-data data/glue-wikitext-2 --lr 1e-4 --resume
#   examples/symmetric_attention/glue.sh --checkpoint roberta.base/model.pt --from ~/glue_data --bpe-dir ~/gpt2_bpe \
#       --gpus 1 -- --fp16
#   examples/symmetric_attention/glue.sh --smoke --cpu

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

CHECKPOINT="" GLUE_DATA="" FROM="" BPE_DIR="" DICT="" RUNS="" CHOSEN=""
SEEDS=1,2,3,4,5
LR=1e-5 EPOCHS=5 BATCH=16
KEEP=0 TABLE=0

OPTIONS=(
    --checkpoint=CHECKPOINT --glue-data=GLUE_DATA:folder --from=FROM:folder --bpe-dir=BPE_DIR:folder --dict=DICT
    --runs=RUNS:folder --tasks=CHOSEN --seeds=SEEDS --lr=LR --epochs=EPOCHS --batch=BATCH --keep-checkpoints=KEEP:1
    --table=TABLE:1 --seed=:no_single_seed
)
PASSES_ON=fairseq-train
no_single_seed() { die "--seed is not an option here: give --seeds, for example --seeds 1" 2; }
read_options "$@"
[[ "$SEEDS" =~ ^[0-9]+(,[0-9]+)*$ ]] || die "--seeds takes numbers with commas between them, not '$SEEDS'" 2
[[ "$EPOCHS" =~ ^[1-9][0-9]*$ ]] || die "--epochs takes a whole number from 1, not '$EPOCHS'" 2
[[ "$BATCH" =~ ^[1-9][0-9]*$ ]] || die "--batch takes a whole number from 1, not '$BATCH'" 2
[[ "$LR" =~ ^[0-9.]+(e-?[0-9]+)?$ ]] || die "--lr takes a number such as 1e-5, not '$LR'" 2
[[ "$GPUS" == auto || "$GPUS" -le 1 ]] || die "--gpus $GPUS: a run takes one device; use --gpus 1" 2

if [[ "$SMOKE" == 1 ]]; then
    [[ -z "$CHECKPOINT$FROM$BPE_DIR$DICT" ]] || die "--smoke makes its own data and model; leave --checkpoint, --from, --bpe-dir and --dict out" 2
    [[ -n "$RUNS" ]] || RUNS="$ROOT/runs/glue-smoke"
    [[ -n "$GLUE_DATA" ]] || GLUE_DATA="$ROOT/data/glue-smoke"
    CHECKPOINT="$GLUE_DATA/pretrained/checkpoint_last.pt"
    FROM="$GLUE_DATA/toy/glue" BPE_DIR="$GLUE_DATA/toy/bpe"
    LR=1e-3 EPOCHS=1
    [[ "$SEEDS" != 1,2,3,4,5 ]] || SEEDS=1,2
fi
if [[ -z "$RUNS" && -n "$CHECKPOINT" ]]; then
    RUNS="$ROOT/runs/glue/$(basename "$(cd "$(dirname "$CHECKPOINT")" 2>/dev/null && pwd)")"
fi
[[ -n "$GLUE_DATA" ]] || GLUE_DATA="$ROOT/data/glue"
[[ "$PLANNING" == 0 ]] || die "--plan is for training from scratch; fairseq-plugins glue-plan tells what fine-tuning takes" 2
[[ -n "$CHECKPOINT" || "$TABLE" == 1 ]] || die "which model? Give --checkpoint; see $PROGRAM --help" 2
[[ -n "$RUNS" ]] || die "which runs? Give --runs; see $PROGRAM --help" 2
[[ -n "$BPE_DIR" || -z "$FROM" ]] || die "--from needs --bpe-dir, the BPE of the pretraining; see $PROGRAM --help" 2

table() { plugin_command glue-table "$RUNS" --json "$RUNS/table.json" --csv "$RUNS/table.csv" --plot "$RUNS/table.png"; }

# prepare: from the published files, or from nothing at all, to $GLUE_DATA.
prepare() {
    local options=(--from "$FROM" --bpe-dir "$BPE_DIR" --out "$GLUE_DATA" --workers "$(getconf _NPROCESSORS_ONLN)")
    if [[ "$SMOKE" == 1 ]]; then
        plugin_command glue-toy "$GLUE_DATA/toy"
        DICT="$BPE_DIR/dict.txt"
        if [[ "$DRY_RUN" == 1 ]]; then
            show_command bash scripts/prepare_glue.sh "${options[@]}" --dict "$DICT"
            return
        fi
    fi
    [[ -z "$DICT" ]] || options+=(--dict "$DICT")
    [[ "$SMOKE" == 0 ]] || CHOSEN=CoLA,STS-B
    [[ -z "$CHOSEN" ]] || options+=(--tasks "$CHOSEN")
    [[ "$DRY_RUN" == 0 ]] || options+=(--dry-run)
    run_stage "$ROOT/scripts/prepare_glue.sh" "${options[@]}"
}

# pretrain_toy: the model of a smoke run, on the sentences of a toy task.
pretrain_toy() {
    [[ ! -f "$CHECKPOINT" ]] || return 0
    run_stage "$ROOT/scripts/train.sh" "$GLUE_DATA/CoLA-bin/input0" --arch roberta_pairwise_tiny \
        --save-dir "$(dirname "$CHECKPOINT")" --max-update 2 --max-tokens 400 --resume "${FLAGS[@]}" -- \
        --encoder-layers 1 --encoder-embed-dim 32 --encoder-ffn-embed-dim 32 --task masked_lm --criterion masked_lm \
        --sample-break-mode complete --tokens-per-sample 128 \
        --lr-scheduler fixed --no-epoch-checkpoints --disable-validation
}

# time_left SECONDS DONE REMAINING: what the remaining tokens will take at the speed so far.
time_left() {
    [[ "$2" -gt 0 ]] || return 0
    local left=$(($1 * $3 / $2))
    printf ', about %d:%02d:%02d left' $((left / 3600)) $((left / 60 % 60)) $((left % 60))
}

# fine_tune: every task of the plan with every seed; evaluate a task when its seeds are trained.
fine_tune() {
    local line options resume=() task data updates tokens arch max_tokens seed run trained
    local number=0 total=0 kept=0 done_tokens=0 all_tokens=0
    [[ "$RESUME" == 0 ]] || resume=(--resume)
    for line in "${PLAN[@]}"; do
        IFS=$'\t' read -r task data updates tokens _ <<<"$line"
        for seed in "${SEED_LIST[@]}"; do
            total=$((total + 1))
            if [[ -f "$RUNS/$task-seed$seed/evaluation.json" ]]; then
                kept=$((kept + 1))
            else
                all_tokens=$((all_tokens + tokens))
            fi
        done
    done
    note "$total runs in $RUNS, $kept of them finished already"
    SECONDS=0
    for line in "${PLAN[@]}"; do
        IFS=$'\t' read -r task data updates tokens arch max_tokens line <<<"$line"
        IFS=$'\t' read -r -a options <<<"$line"
        trained=()
        for seed in "${SEED_LIST[@]}"; do
            number=$((number + 1))
            run="$RUNS/$task-seed$seed"
            [[ ! -f "$run/evaluation.json" ]] || continue
            note "run $number of $total: $task, seed $seed, $updates updates$(time_left "$SECONDS" "$done_tokens" $((all_tokens - done_tokens)))"
            run_stage "$ROOT/scripts/train.sh" "$data" --arch "$arch" --save-dir "$run" --max-update "$updates" \
                --max-tokens "$max_tokens" --seed "$seed" --log-interval $(((updates + 9) / 10)) \
                "${FLAGS[@]}" "${resume[@]}" \
                -- "${options[@]}" ${EXTRA[@]+"${EXTRA[@]}"}
            done_tokens=$((done_tokens + tokens))
            trained+=("$run")
        done
        [[ "${#trained[@]}" -gt 0 ]] || continue
        plugin_command glue-evaluate "${trained[@]}" "${CPU[@]}"
        [[ "$KEEP" == 1 ]] || remove "${trained[@]/%//checkpoint_last.pt}"
    done
}

remove() { if [[ "$DRY_RUN" == 1 ]]; then show_command rm -f "$@"; else rm -f "$@"; fi; }

use_python
if [[ "$TABLE" == 1 ]]; then
    table
    exit 0
fi
resolve_gpus
[[ "$GPUS" -le 1 ]] || GPUS=1
FLAGS=(--gpus "$GPUS")
[[ "$DRY_RUN" == 0 ]] || FLAGS+=(--dry-run)
CPU=()
[[ "$GPUS" == 1 ]] || CPU=(--cpu)
IFS=, read -r -a SEED_LIST <<<"$SEEDS"
[[ "$SMOKE" == 1 || -f "$CHECKPOINT" ]] || die "no checkpoint $CHECKPOINT; give --checkpoint the file of a pretrained model"

[[ -z "$FROM" ]] || prepare
[[ "$SMOKE" == 0 ]] || pretrain_toy
command=("$PYTHON" -m fairseq_plugins.cli glue-plan --checkpoint "$CHECKPOINT" --data "$GLUE_DATA" --tasks "$CHOSEN"
    --lr "$LR" --epochs "$EPOCHS" --batch "$BATCH")
if [[ "$DRY_RUN" == 1 ]]; then
    show_command "${command[@]}"
    if ! compgen -G "$GLUE_DATA/*-bin/task.json" >/dev/null || [[ ! -f "$CHECKPOINT" ]]; then
        note "what follows depends on $GLUE_DATA, which is not there yet"
        exit 0
    fi
else
    command+=(--settings "$RUNS/settings.json" -- ${EXTRA[@]+"${EXTRA[@]}"})
fi
text="$(LOGLEVEL=WARNING "${command[@]}")" || exit 1
mapfile -t PLAN <<<"$text"
fine_tune
table
