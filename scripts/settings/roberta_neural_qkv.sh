# shellcheck shell=bash
# shellcheck disable=SC2034 # read by pretrain_run
# The neural-QKV paper's code for its masked language model: batches of 8 sequences, all else as its trainer's defaults.

CORPUS=103
LENGTH=512
MAX_TOKENS=4096
BATCH_TOKENS=4096
EPOCHS=5
SAVE_EVERY=5000
TRAINING=(
    --dropout 0.1 --attention-dropout 0.1
    --optimizer adam --adam-betas "(0.9, 0.999)" --adam-eps 1e-8 --weight-decay 0.0 --clip-norm 1.0
    --lr 0.00005 --warmup-updates 0
)
