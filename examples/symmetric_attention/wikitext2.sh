#!/usr/bin/env bash
# Masked language models on WikiText-2: what two CPU cores can train; one run of the measured table in README.md.
#
#   examples/symmetric_attention/wikitext2.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          baseline, symmetric, pairwise (default), neuralqkv, or matched (the baseline, as many parameters
#                        as neuralqkv)
#   --from PATH          folder or archive with WikiText-2, as scripts/prepare_wikitext.sh takes it; without it the
#                        archive is fetched
#   --data-dir DIR       where the prepared data lies or goes (default data/wikitext-2), or a folder of
#                        fairseq-preprocess --only-source with other text
#   --gpt2-bpe DIR       encoder.json, vocab.bpe and dict.txt of a BPE to use; without it one is learnt
#   --runs DIR           where the runs go (default runs/wikitext-2); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --warm-start FILE    begin with the weights of FILE, written by fairseq-plugins warm-start
#   --pretrained FILE    begin with what fairseq-plugins warm-start makes of FILE, a trained baseline, for this variant; of
#                        V-reinit for V the projections that neuralqkv replaces are drawn anew, as in its paper
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# Every variant and seed reads the same batches in the same order; the validation masks depend on the seed alone.
#
# Examples:
#   for seed in 1 2 3; do for variant in baseline symmetric pairwise; do
#       examples/symmetric_attention/wikitext2.sh --variant $variant --seed $seed --resume
#   done; done
#   examples/symmetric_attention/wikitext2.sh --table
#   examples/symmetric_attention/wikitext2.sh --variant symmetric --smoke

# shellcheck source=scripts/pretrain_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/pretrain_lib.sh"

NAME=wikitext-2
CORPUS=2
VARIANTS=(pairwise baseline symmetric neuralqkv matched)
MAX_UPDATE=4000
pretrain_options "$@"

# The measured setting. Sequences are short because positions are what a masked language model learns last: at length 128
# a model of twice the layers did not leave the early plateau within these updates.
ARCH="roberta_${VARIANT}_tiny"
BPE=4096
LENGTH=32
MAX_TOKENS=2048
BATCH_TOKENS=2048
SAVE_EVERY=250
BELOW=6,5.75,5.55
TRAINING=(
    --encoder-attention-heads 4
    --dropout 0.1 --attention-dropout 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-6 --weight-decay 0.01
    --lr 0.001 --warmup-updates 300
)

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=4104 TRAIN_TOKENS=2960000 DISK_GB=1

pretrain
