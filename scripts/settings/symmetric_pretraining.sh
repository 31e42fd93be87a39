# shellcheck shell=bash
# shellcheck disable=SC2034 # read by pretrain_run
# The scripts of the authors of symmetric attention, with the gradient norm that their trainer clips to.

CORPUS=103
VARIANTS=(pairwise baseline symmetric)
MAX_UPDATE=200000
LENGTH=512
BATCH_TOKENS=131072
SAVE_EVERY=5000
BELOW=5 # the paper's measure of how soon a model leaves the early plateau
TRAINING=(
    --dropout 0.1 --attention-dropout 0.1
    --optimizer adam --adam-betas "(0.9, 0.999)" --adam-eps 1e-12 --weight-decay 0.01 --clip-norm 1.0
    --lr 0.0001 --warmup-updates 10000
)
GPU_TRAINING=(--fp16)
# For --plan: entries of the dictionary, about how many target tokens an epoch has, gigabytes that the data take.
VOCABULARY=50264 TRAIN_TOKENS=118000000 DISK_GB=3
