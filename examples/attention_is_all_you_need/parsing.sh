#!/usr/bin/env bash
# English constituency parsing (Vaswani et al. 2017, section 6.3): sentences translated into brackets.
#
#   examples/attention_is_all_you_need/parsing.sh --from PATH [--size S] [--variant V] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --size S             paper (default): the paper's 4-layer model, for the whole treebank; sample: a small one, for the
#                        3,914 trees that NLTK offers, on a CPU
#   --variant V          a variant of docs/attention.md (default baseline), such as pairwise, or matched (the baseline, as
#                        many parameters as neuralqkv)
#   --from PATH          the treebank, as scripts/prepare_treebank.sh takes it; not needed where --data-dir holds it
#                        already
#   --data-dir DIR       where the prepared data lies or goes (default data/treebank-SIZE)
#   --runs DIR           where the runs go (default runs/parsing-SIZE); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# Prepares the data, trains, parses the test set, repairs what is no tree over its sentence, and scores it by EVALB's
# conventions; gen.test/ then holds the parses (test.parsed) and the score (evalb.json).
#
# Examples:
#   examples/attention_is_all_you_need/parsing.sh --from ~/treebank_3/parsed/mrg/wsj --gpus 8 --resume -- --fp16
#   examples/attention_is_all_you_need/parsing.sh --size sample --from ~/nltk_data/corpora/treebank/combined --cpu
#   examples/attention_is_all_you_need/parsing.sh --size sample --table
#   examples/attention_is_all_you_need/parsing.sh --variant pairwise --smoke

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

VARIANTS=("${ALL_VARIANTS[@]}")
SIZE=paper
MAX_UPDATE=""

OPTIONS=(--size=SIZE:known_size)
known_size() { [[ "$2" == paper || "$2" == sample ]] || die "--size $2: choose paper or sample" 2; }
recipe_options "$@"
NAME="parsing-$SIZE"
KIND=parsing

# What differs from Transformer base is in the paper's words the 4 layers, d = 1024, the dropouts, the learning rate and
# the search. It names no values for the dropouts and the learning rate, and no number of updates: these are the dropouts
# of tensor2tensor's transformer_parsing_base, the paper's schedule d^-0.5 min(t^-0.5, t 4000^-1.5), whose peak is
# 1024^-0.5 4000^-0.5, and the updates of Transformer base.
# For --plan: entries of both dictionaries, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
case "$SIZE" in
    paper)
        ARCH="transformer_${VARIANT}_wmt_en_de"
        WORDS=(--vocab 16000)
        VOCABULARY=16100 TRAIN_TOKENS=2480000 DISK_GB=1
        MAX_TOKENS=4096
        BATCH_TOKENS=25000
        MAX_UPDATE="${MAX_UPDATE:-100000}"
        TRAINING=(
            --encoder-layers 4 --encoder-embed-dim 1024 --encoder-ffn-embed-dim 2048 --encoder-attention-heads 8
            --decoder-layers 4 --decoder-embed-dim 1024 --decoder-ffn-embed-dim 2048 --decoder-attention-heads 8
            --dropout 0.2 --attention-dropout 0.2
            --lr 0.000494 --warmup-updates 4000 --keep-last-epochs 5
        )
        AVERAGE=5 # epochs, as Transformer base
        ;;
    sample)
        ARCH="transformer_${VARIANT}"
        WORDS=(--vocab 4000)
        VOCABULARY=4070 TRAIN_TOKENS=195000 DISK_GB=1
        MAX_TOKENS=1536
        BATCH_TOKENS=1536
        MAX_UPDATE="${MAX_UPDATE:-4000}"
        TRAINING=(
            --encoder-layers 2 --encoder-embed-dim 128 --encoder-ffn-embed-dim 256 --encoder-attention-heads 4
            --decoder-layers 2 --decoder-embed-dim 128 --decoder-ffn-embed-dim 256 --decoder-attention-heads 4
            --encoder-normalize-before --decoder-normalize-before --dropout 0.1
            --lr 0.003 --warmup-updates 300 --keep-last-epochs 1 # besides the best and the last
        )
        AVERAGE=0 # checkpoint_best, by validation loss
        ;;
esac
TRAINING+=(
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1 --share-decoder-input-output-embed
    --optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-9 --lr-scheduler inverse_sqrt
)
BEAM=21
LENPEN=0.3
LONGEST=(--max-len-a 1 --max-len-b 300) # target tokens: as many as the source has, and 300

parsing_prepare() {
    local options=(--out "$DATA_DIR" --workers "$(getconf _NPROCESSORS_ONLN)")
    if [[ -z "$FROM" && "$SMOKE" == 0 && -f "$DATA_DIR/.stamps/binarise" ]]; then
        note "the data in $DATA_DIR are taken as they are"
        return
    fi
    if [[ "$SMOKE" == 1 ]]; then
        options+=(--smoke --bpe 200)
    else
        options+=("${WORDS[@]}")
    fi
    [[ -z "$FROM" ]] || options+=(--from "$FROM")
    [[ "$DRY_RUN" == 0 ]] || options+=(--dry-run)
    run_stage "$ROOT/scripts/prepare_treebank.sh" "${options[@]}"
}

parsing_run() {
    local save_dir data="$DATA_DIR/bin" gen
    save_dir="$(run_folder)"
    gen="$save_dir/${GEN:-gen.$SUBSET}"
    common_flags
    train_stage "$data" "$save_dir" -- "${TRAINING[@]}"
    ! ends_after train || return 0
    average_stage "$save_dir"
    run_stage "$ROOT/scripts/generate.sh" "$data" --save-dir "$save_dir" ${CHECKPOINT[@]+"${CHECKPOINT[@]}"} \
        --subset "$SUBSET" --out "$gen" --beam "$BEAM" --lenpen "${OWN_LENPEN:-$LENPEN}" --max-tokens 2048 --language en \
        "${COMMON_FLAGS[@]}" -- "${LONGEST[@]}"
    plugin_command parse-score "$DATA_DIR/raw/$SUBSET.trees" "$gen/hyp.tok" --trees "$gen/$SUBSET.parsed" \
        --json "$gen/evalb.json"
}

default_folders "$NAME" "treebank-$SIZE"
if [[ "$TABLE" == 1 ]]; then
    finished_table parse-table gen.test/evalb.json
else
    use_python
    parsing_prepare
    ends_after prepare || parsing_run
fi
