#!/usr/bin/env bash
# Sparse attention in a causal language model on WikiText-103: fairseq's published recipe, with any kernel.
#
#   examples/value_aware/wikitext103.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          the kernel: exp (default), elu1, relu or poly
#   --from PATH          folder or archive with WikiText-103, as scripts/prepare_wikitext.sh takes it; without it the
#                        archive is fetched (190 MB)
#   --data-dir DIR       where the prepared data lies or goes (default data/wikitext-103), or a folder of
#                        fairseq-preprocess --only-source with other text, such as fairseq's words of WikiText-103
#   --gpt2-bpe DIR       encoder.json, vocab.bpe and dict.txt of a BPE to use; without it one is learnt
#   --runs DIR           where the runs go (default runs/wikitext-103-mixing); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default 50,000)
#   --warm-start FILE    begin with the weights of FILE, written by fairseq-plugins warm-start
#   --table              no run: print the tables of all finished runs in --runs, and write them as JSON, CSV and plots
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# The hyper-parameters of fairseq's examples/language_model README (transformer_lm, 512 tokens a block, Adam 0.9/0.98,
# inverse square root with 4,000 warm-up updates, dropout 0.1, weight decay 0.01, 32,768 tokens an update). Made for a
# GPU. After the training fairseq-plugins analyse-attention takes the best checkpoint through every sparse mixing.
#
# Examples:
#   examples/value_aware/wikitext103.sh --variant exp --gpus 1 --resume -- --fp16
#   examples/value_aware/wikitext103.sh --variant elu1 --smoke

# shellcheck source=scripts/analysis_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/analysis_lib.sh"

NAME=wikitext-103-mixing
CORPUS=103
VARIANTS=("${KERNELS[@]}")
TASK=language_modeling
MAX_UPDATE=50000
pretrain_options "$@"

ARCH=transformer_lm_baseline
LENGTH=512
MAX_TOKENS=2048
BATCH_TOKENS=32768
SAVE_EVERY=1000
TRAINING=(
    --attention-kernel "$VARIANT" --share-decoder-input-output-embed --dropout 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)" --weight-decay 0.01 --clip-norm 0.0
    --lr 0.0005 --lr-scheduler inverse_sqrt --warmup-updates 4000 --warmup-init-lr 1e-07
)
ANALYSIS=(--split valid --r "1,2,4,8,16,32,64")

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=50264 TRAIN_TOKENS=118000000 DISK_GB=3

pretrain
analyse
