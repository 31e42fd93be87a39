#!/usr/bin/env bash
# The paper's translation model (the shape of opus-mt-de-en) on IWSLT 2017 German-English, from scratch.
#
#   examples/neural_qkv/opus_shape.sh [--variant V] [--seed N] [--from DIR] [OPTION]... [-- FAIRSEQ_TRAIN_OPTION...]
#
#   --variant V          baseline, neuralqkv (default) or matched (the baseline, as many parameters as neuralqkv)
#   --from DIR           folder with the official files (train.tags.*, *.xml); without it they are downloaded
#   --data-dir DIR       where the prepared data lies or goes (default data/iwslt17-de-en-32k)
#   --runs DIR           where the runs go (default runs/iwslt17-de-en-32k); this one is DIR/VARIANT-seedN
#   --max-update N       length of the training (default below)
#   --table              no run: print the table of all finished runs in --runs, and write it as JSON, CSV and plot
#   --gpus N, --nodes N, --cpu, --processes N, --preset P, --resume, --seed N, --smoke, --dry-run, --plan   as in train.sh
#
# The paper starts from a pretrained opus-mt-de-en whose replaced projections are initialised anew, and trains it for
# 6 epochs (AdamW, lr 5e-5, linear decay, no warm-up, batch 32, beam 4). This is the same shape and search without the
# pretrained weights, so it tests the direction of the claim, not its figures; hence lr and warm-up of a training from
# scratch, and the 'matched' control that the paper lacks.
#
# Examples:
#   examples/neural_qkv/opus_shape.sh --variant neuralqkv --gpus 1 --resume -- --fp16
#   examples/neural_qkv/opus_shape.sh --variant matched --smoke

# shellcheck source=scripts/recipe_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/recipe_lib.sh"

NAME=iwslt17-de-en-32k
PREPARE="$ROOT/scripts/prepare_iwslt17.sh"
SMOKE_PREPARE=(--tests tst2015)
MAX_UPDATE=50000
recipe_options "$@"

# opus-mt: 6+6 layers of 512, 8 heads, feed-forward 2048, swish, post-norm, sinusoidal positions, one embedding.
ARCH="transformer_${VARIANT}"
BPE=32000 # joint merges, one dictionary
MAX_TOKENS=4096
BATCH_TOKENS=16384
TRAINING=(
    --encoder-layers 6 --encoder-embed-dim 512 --encoder-ffn-embed-dim 2048 --encoder-attention-heads 8
    --decoder-layers 6 --decoder-embed-dim 512 --decoder-ffn-embed-dim 2048 --decoder-attention-heads 8
    --activation-fn swish --share-all-embeddings --dropout 0.1 --attention-dropout 0
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 1.0
    --lr 0.0007 --lr-scheduler inverse_sqrt --warmup-updates 4000
    --keep-last-epochs 5
)
AVERAGE=5 # epochs, as Transformer base
BEAM=4
LENPEN=1

# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
# shellcheck disable=SC2034
VOCABULARY=32000 TRAIN_TOKENS=4700000 DISK_GB=1

recipe_run
