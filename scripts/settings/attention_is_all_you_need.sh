# shellcheck shell=bash
# shellcheck disable=SC2034 # read by recipe_run
# "Attention Is All You Need", sections 5.1 to 5.4: what its base and big models share. Needs DROPOUT, and PEAK, that of
# the learning rate.

BATCH_TOKENS=25000 # target tokens of one update over all devices
TRAINING=(
    --share-all-embeddings --dropout "$DROPOUT"
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-9 --clip-norm 0.0 --weight-decay 0.0
    --lr "$PEAK" --lr-scheduler inverse_sqrt --warmup-updates 4000 --warmup-init-lr 0
)
BEAM=4
LENPEN=0.6 # fairseq divides by length^0.6, the paper by ((5 + length) / 6)^0.6
GENERATION=(--max-len-a 1 --max-len-b 50)
