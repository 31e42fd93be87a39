# shellcheck shell=bash
# shellcheck disable=SC2034 # read by recipe_run
# fairseq's examples/translation, IWSLT'14 German-English: 6+6 layers of 512, feed-forward 1024, 4 heads. Needs VARIANT.

ARCH="transformer_${VARIANT}_iwslt_de_en"
BPE=10000 # joint merges, one dictionary
MAX_TOKENS=4096
BATCH_TOKENS=4096
TRAINING=(
    --share-decoder-input-output-embed --dropout 0.3 --weight-decay 0.0001
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1
    --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 0.0
    --lr 0.0005 --lr-scheduler inverse_sqrt --warmup-updates 4000
    --keep-last-epochs 5
)
AVERAGE=0 # checkpoint_best, by validation loss
BEAM=5
LENPEN=1
