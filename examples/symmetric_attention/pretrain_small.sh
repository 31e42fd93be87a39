#!/usr/bin/env bash
# Pretraining with symmetric and pairwise attention, small: 4 layers of 512, feed-forward 2048, 8 heads.
#
#   examples/symmetric_attention/pretrain_small.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          baseline, symmetric or pairwise (default)
#   --from PATH          folder or archive with WikiText-103, as scripts/prepare_wikitext.sh takes it; without it the
#                        archive is fetched (190 MB)
#   --data-dir DIR       where the prepared data lies or goes (default data/wikitext-103), or a folder of
#                        fairseq-preprocess --only-source with other text
#   --gpt2-bpe DIR       encoder.json, vocab.bpe and dict.txt of GPT-2 to use; without it a BPE of that size is learnt
#   --runs DIR           where the runs go (default runs/wikitext-103-small); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training, and of the linear decay (default below)
#   --warm-start FILE    begin with the weights of FILE, written by fairseq-plugins warm-start
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# Made for GPUs, where it adds --fp16 (not with "-- --bf16" or --preset fast-bf16); 256 sequences of 512 an update on
# any number of them. The paper's text is OSCAR, whose licence each user must accept: prepare it with fairseq-plugins
# apply-byte-bpe and fairseq-preprocess --only-source, and give the folder with --data-dir. Of WikiText-103 the
# 200,000 updates are some 220 epochs.
#
# Examples:
#   examples/symmetric_attention/pretrain_small.sh --variant pairwise --gpus 4 --resume
#   examples/symmetric_attention/pretrain_small.sh --variant baseline --data-dir data-bin/oscar --gpus 8 --resume
#   examples/symmetric_attention/pretrain_small.sh --variant symmetric --smoke

# shellcheck source=scripts/pretrain_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/pretrain_lib.sh"

NAME=wikitext-103-small
# shellcheck source=scripts/settings/symmetric_pretraining.sh
source "$ROOT/scripts/settings/symmetric_pretraining.sh"
pretrain_options "$@"
ARCH="roberta_${VARIANT}_small"
MAX_TOKENS=32768
pretrain
