#!/usr/bin/env bash
# Neural QKV in RoBERTa-base on WikiText-103: the paper's masked-LM protocol.
#
#   examples/neural_qkv/roberta_wikitext103.sh [--variant V] [--seed N] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          baseline, neuralqkv (default) or matched (the baseline, as many parameters as neuralqkv)
#   --from PATH          folder or archive with WikiText-103, as scripts/prepare_wikitext.sh takes it; without it the
#                        archive is fetched (190 MB)
#   --gpt2-bpe DIR       encoder.json, vocab.bpe and dict.txt of RoBERTa: needed to begin with its weights; without it a
#                        BPE of that size is learnt
#   --warm-start FILE    begin with the weights of FILE, written by fairseq-plugins warm-start
#   --data-dir DIR       where the prepared data lies or goes (default data/wikitext-103, with --gpt2-bpe
#                        data/wikitext-103-gpt2), or a folder of fairseq-preprocess --only-source with other text
#   --runs DIR           where the runs go (default runs/wikitext-103-roberta); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training, and of the linear decay (default: 5 epochs)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# The paper starts from the released roberta-base whose replaced projections are initialised anew, and reports
# exp(validation loss), which the table shows as perplexity. Without --warm-start the same setting trains from scratch:
# its learning rate, without warm-up, is meant for weights that are trained already. Made for a GPU; add "-- --fp16" or
# "-- --bf16" there.
#
# Examples:
#   examples/neural_qkv/roberta_wikitext103.sh --variant neuralqkv --gpt2-bpe gpt2_bpe --warm-start neuralqkv.pt --gpus 1
#   examples/neural_qkv/roberta_wikitext103.sh --table
#   examples/neural_qkv/roberta_wikitext103.sh --variant matched --smoke

# shellcheck source=scripts/pretrain_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/pretrain_lib.sh"

NAME=wikitext-103-roberta
# shellcheck source=scripts/settings/roberta_neural_qkv.sh
source "$ROOT/scripts/settings/roberta_neural_qkv.sh"
VARIANTS=(neuralqkv baseline matched)
pretrain_options "$@"

ARCH="roberta_${VARIANT}_base"

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=50264 TRAIN_TOKENS=118000000 DISK_GB=3

pretrain
