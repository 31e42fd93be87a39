# shellcheck shell=bash
# Sourced by the language-model recipes in examples/: from raw text to a validation loss.
#
# A recipe sets its hyper-parameters (see pretrain_run) and calls: pretrain_options "$@"; pretrain

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/recipe_lib.sh"

GPT2_BPE=""
WARM_START=""
TASK=masked_lm # or language_modeling

SHARED_OPTIONS+=(--gpt2-bpe=GPT2_BPE:folder --warm-start=WARM_START)

# pretrain_options "$@": recipe_options, and the options that only these recipes take.
pretrain_options() {
    recipe_options "$@"
    [[ "$SUBSET$GEN$OWN_LENPEN" == test ]] || die "--subset, --gen and --lenpen are for translations, not for a language model" 2
    [[ -z "$WARM_START" || -z "$PRETRAINED" ]] || die "--pretrained and --warm-start: give one of them" 2
    [[ -z "$WARM_START" || -n "$GPT2_BPE$DATA_DIR" ]] ||
        die "--warm-start needs data in the checkpoint's own dictionary; add --gpt2-bpe DIR or --data-dir DIR" 2
    [[ -z "$WARM_START" || -f "$WARM_START" || "$DRY_RUN" == 1 ]] ||
        die "no checkpoint $WARM_START; make it with fairseq-plugins warm-start (see its --help)"

    default_folders "$NAME" "${DATA_NAME:-wikitext-$CORPUS${GPT2_BPE:+-gpt2}}"
    # A folder of fairseq-preprocess --only-source is data as it is; everything else is made by prepare_wikitext.sh.
    DATA="$DATA_DIR/bin"
    [[ ! -f "$DATA_DIR/dict.txt" ]] || DATA="$DATA_DIR"
}

# pretrain_prepare: raw text to $DATA; what is complete is kept.
pretrain_prepare() {
    local options=(--out "$DATA_DIR" --workers "$(getconf _NPROCESSORS_ONLN)")
    if [[ "$DATA" == "$DATA_DIR" ]]; then
        [[ -z "$FROM" ]] || die "$DATA_DIR is prepared data already; leave --from out, or give another --data-dir" 2
        return
    fi
    if [[ -n "$GPT2_BPE" ]]; then
        options+=(--gpt2-bpe "$GPT2_BPE")
    elif [[ "$SMOKE" == 0 && -n "${BPE:-}" ]]; then
        options+=(--bpe "$BPE")
    fi
    [[ -z "$FROM" ]] || options+=(--from "$FROM")
    [[ "$SMOKE" == 0 ]] || options+=(--smoke)
    [[ "$DRY_RUN" == 0 ]] || options+=(--dry-run)
    run_stage "$ROOT/scripts/prepare_wikitext.sh" "$CORPUS" "${options[@]}"
}

# set_updates: MAX_UPDATE, where it is not given, from EPOCHS: the linear decay must know where it ends.
set_updates() {
    local sequences text="$LENGTH"
    [[ "$TASK" != masked_lm ]] || text=$((LENGTH - 1)) # beside <s>
    [[ "$SMOKE" == 0 ]] || MAX_UPDATE="${MAX_UPDATE:-6}" # train.sh makes no more then
    [[ -z "${MAX_UPDATE:-}" ]] || return 0
    use_python
    if [[ "$DRY_RUN" == 1 && ! -f "$DATA/train.idx" ]]; then
        sequences=230000
        note "--max-update below is about that of WikiText-103; the data, once they are there, say it exactly"
    else
        sequences="$(LOGLEVEL=WARNING "$PYTHON" -m fairseq_plugins.cli count-sequences "$DATA/train" "$text")" ||
            die "cannot read $DATA/train.idx; remove $DATA and run the same command again"
    fi
    MAX_UPDATE=$((EPOCHS * ((sequences * LENGTH + BATCH_TOKENS - 1) / BATCH_TOKENS)))
}

# pretrain_run: train and show what came out; pretrain_prepare comes first.
#
# Reads DATA, TASK, ARCH (with VARIANT in it), LENGTH (tokens of a sequence), MAX_TOKENS, BATCH_TOKENS, MAX_UPDATE or
# EPOCHS, SAVE_EVERY (updates between two validations, each of which saves), TRAINING (options of fairseq-train; without
# a --lr-scheduler the learning rate falls linearly), and perhaps GPU_TRAINING (more of them, for a GPU) and BELOW (a
# loss whose first update the table shows).
pretrain_run() {
    local save_dir options=()
    save_dir="$(run_folder)"
    use_python
    resolve_gpus
    common_flags
    if [[ "$TASK" == masked_lm ]]; then
        options=(--task masked_lm --criterion masked_lm --mask-prob 0.15 --max-positions "$LENGTH")
    else
        options=(--task language_modeling)
    fi
    options+=(
        # Sequences of full length over line and article ends, as the papers' code makes them: no text is lost.
        --sample-break-mode none --tokens-per-sample "$LENGTH"
        # fairseq keeps its loading processes over the epochs, and with them the masks of the first one; threads that
        # load ahead share one random state with validation. Loaded in turn, each epoch has masks of its own.
        --num-workers 0 --data-buffer-size 0
        --no-epoch-checkpoints "${TRAINING[@]}"
    )
    given --lr-scheduler "${TRAINING[@]}" ||
        options+=(--lr-scheduler polynomial_decay --total-num-update "$MAX_UPDATE")
    if [[ "$GPUS" -gt 0 && "$PRESET" != fast-bf16 ]] && ! given --bf16 ${EXTRA[@]+"${EXTRA[@]}"}; then
        options+=(${GPU_TRAINING[@]+"${GPU_TRAINING[@]}"})
    fi
    [[ -z "$WARM_START" ]] || options+=(--finetune-from-model "$WARM_START")
    if [[ "$SMOKE" == 1 && "$TASK" == masked_lm ]]; then
        smoke_sizes encoder
        options+=(--tokens-per-sample 48 --max-positions 48 "${SIZES[@]}")
    elif [[ "$SMOKE" == 1 ]]; then
        smoke_sizes decoder --decoder-input-dim 32 --decoder-output-dim 32
        options+=(--tokens-per-sample 48 "${SIZES[@]}")
    fi
    train_stage "$DATA" "$save_dir" --save-every "$SAVE_EVERY" -- "${options[@]}"
    plugin_command compare-losses "$save_dir" ${BELOW:+--below "$BELOW"}
}

# pretrain: what a recipe does once its hyper-parameters are set.
pretrain() {
    if [[ "$TABLE" == 1 ]]; then
        finished_table compare-losses "done"
    else
        use_python # once for all stages
        pretrain_prepare
        ! ends_after prepare || return 0
        set_updates
        pretrain_run
    fi
}
