#!/usr/bin/env bash
# Neural QKV on Multi30k German-English: one run of the measured table in README.md.
#
#   examples/neural_qkv/multi30k.sh [--variant V] [--seed N] [--from DIR] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          baseline, neuralqkv (default) or matched (the baseline, as many parameters as neuralqkv)
#   --from DIR           folder with the Multi30k files (task 1, raw); without it they are downloaded
#   --data-dir DIR       where the prepared data lies or goes (default data/multi30k-de-en)
#   --runs DIR           where the runs go (default runs/multi30k-de-en); this one is DIR/VARIANT-seedN
#   --pretrained FILE    begin with what fairseq-plugins warm-start makes of FILE, a trained baseline, for this variant; of
#                        V-reinit for V the projections that neuralqkv replaces are drawn anew, as in its paper
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# Prepares the data, trains, translates test_2016_flickr with the checkpoint of the best validation loss, scores it.
# Took 18 to 32 minutes a run with OMP_NUM_THREADS=1 on two CPU cores that did other work besides.
#
# Examples:
#   for seed in 1 2 3; do for variant in baseline neuralqkv matched; do
#       examples/neural_qkv/multi30k.sh --variant $variant --seed $seed --resume
#   done; done
#   examples/neural_qkv/multi30k.sh --table
#   examples/neural_qkv/multi30k.sh --variant matched --smoke

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

NAME=multi30k-de-en
PREPARE="$ROOT/scripts/prepare_multi30k.sh"
MAX_UPDATE=1000
recipe_options "$@"

# The measured setting. Everything else is fairseq's iwslt_de_en.
ARCH="transformer_${VARIANT}_iwslt_de_en"
BPE=4000 # joint merges, one dictionary
MAX_TOKENS=4096
BATCH_TOKENS=4096
TRAINING=(
    --encoder-layers 3 --encoder-embed-dim 128 --encoder-ffn-embed-dim 256 --encoder-attention-heads 4
    --decoder-layers 3 --decoder-embed-dim 128 --decoder-ffn-embed-dim 256 --decoder-attention-heads 4
    --share-all-embeddings --dropout 0.1 --weight-decay 0.0001
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)"
    --lr 0.003 --lr-scheduler inverse_sqrt --warmup-updates 300
    --keep-last-epochs 1 # besides the best and the last
)
AVERAGE=0 # checkpoint_best, by validation loss
BEAM=5
LENPEN=1

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=4000 TRAIN_TOKENS=430000 DISK_GB=1

recipe_run
