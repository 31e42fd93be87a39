#!/usr/bin/env bash
# How good can sparse attention be? One language model on WikiText-2, and its attention under every sparse mixing.
#
#   examples/value_aware/wikitext2.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          FAMILY-KERNEL: lm (causal, the default lm-exp) or mlm (masked), and exp, elu1, relu or poly
#   --from PATH          folder or archive with WikiText-2, as scripts/prepare_wikitext.sh takes it; without it the
#                        archive is fetched
#   --data-dir DIR       where the prepared data lies or goes (default data/wikitext-2), or a folder of
#                        fairseq-preprocess --only-source with other text
#   --gpt2-bpe DIR       encoder.json, vocab.bpe and dict.txt of a BPE to use; without it one is learnt
#   --runs DIR           where the runs go (default runs/wikitext-2-mixing); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --warm-start FILE    begin with the weights of FILE, written by fairseq-plugins warm-start
#   --table              no run: print the tables of all finished runs in --runs, and write them as JSON, CSV and plots
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# After the training, fairseq-plugins analyse-attention takes the best checkpoint through every sparse mixing, and leaves
# tables and plots in DIR/VARIANT-seedN/analysis. A kernel is trained with, never exchanged.
#
# Examples:
#   for variant in lm-exp lm-elu1 mlm-exp mlm-poly; do
#       examples/value_aware/wikitext2.sh --variant $variant --resume
#   done
#   examples/value_aware/wikitext2.sh --table
#   examples/value_aware/wikitext2.sh --variant mlm-relu --smoke

# shellcheck source=scripts/analysis_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/analysis_lib.sh"

NAME=wikitext-2-mixing
CORPUS=2
VARIANTS=("${KERNELS[@]/#/lm-}" "${KERNELS[@]/#/mlm-}")
MAX_UPDATE=4000
pretrain_options "$@"

# The setting of examples/symmetric_attention/wikitext2.sh for both families, so that only the kernel differs; blocks of
# a causal model are longer, because it sees half of each on average.
BPE=4096
MAX_TOKENS=2048
BATCH_TOKENS=2048
SAVE_EVERY=250
KERNEL="${VARIANT#*-}"
TRAINING=(
    --attention-kernel "$KERNEL" --dropout 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-6 --weight-decay 0.01
    --lr 0.001 --warmup-updates 300
)
if [[ "$VARIANT" == mlm-* ]]; then
    ARCH=roberta_baseline_tiny
    LENGTH=32
    TRAINING+=(--encoder-attention-heads 4)
else
    TASK=language_modeling
    ARCH=transformer_lm_baseline_tiny
    LENGTH=64
    TRAINING+=(--decoder-attention-heads 4 --share-decoder-input-output-embed)
fi
ANALYSIS=(--split valid --r "1,2,4,8,16")

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=4104 TRAIN_TOKENS=2960000 DISK_GB=1

pretrain
analyse
