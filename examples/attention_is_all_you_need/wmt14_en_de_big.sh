#!/usr/bin/env bash
# "Attention Is All You Need" (arXiv 1706.03762): Transformer big on WMT 2014 English-German, newstest2014.
#
#   examples/attention_is_all_you_need/wmt14_en_de_big.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          a variant of docs/attention.md (default baseline: the paper's model), such as pairwise, or matched
#                        (the baseline, as many parameters as neuralqkv)
#   --from DIR           folder with the archives or files that scripts/prepare_wmt14.sh names; without it they are downloaded
#   --data-dir DIR       where the prepared data lies or goes (default data/wmt14-en-de)
#   --runs DIR           where the runs go (default runs/wmt14-en-de-big); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# Published (tables 2 and 3): BLEU 28.4 on newstest2014, 26.4 and perplexity 4.33 on newstest2013, 213 million parameters;
# 300,000 updates took 3.5 days on 8 P100. The BLEU is that of tokens with compounds split, which scripts/score.sh gives
# beside sacreBLEU's (about one point lower). Made for GPUs; add "-- --fp16" or "-- --bf16" there.
#
# Examples:
#   examples/attention_is_all_you_need/wmt14_en_de_big.sh --gpus 8 --resume -- --fp16
#   examples/attention_is_all_you_need/wmt14_en_de_big.sh --variant valueaware --smoke

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

NAME=wmt14-en-de-big
TARGET_LANG=de
# shellcheck source=scripts/settings/wmt14.sh
source "$ROOT/scripts/settings/wmt14.sh"
MAX_UPDATE=300000
recipe_options "$@"

# Sections 5.1 to 5.4 and table 3. The peak of the learning rate is 1024^-0.5 * 4000^-0.5. fairseq's vaswani_ shape has
# no dropout on attention weights, as the paper; that of wmt_en_de_big has 0.1.
ARCH="transformer_${VARIANT}_vaswani_wmt_en_de_big" # 6+6 layers of 1024, feed-forward 4096, 16 heads
BPE=37000                                           # joint merges, one dictionary
MAX_TOKENS=3584
DROPOUT=0.3
PEAK=0.00049411
SAVE_UPDATES=600 # about the paper's ten minutes
AVERAGE=20
TOKEN_BLEU=compound-split
# shellcheck source=scripts/settings/attention_is_all_you_need.sh
source "$ROOT/scripts/settings/attention_is_all_you_need.sh"

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=37000 TRAIN_TOKENS=135000000 DISK_GB=20

recipe_run
