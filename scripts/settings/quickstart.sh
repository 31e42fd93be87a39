# shellcheck shell=bash
# shellcheck disable=SC2034 # read by the quickstart and by the recipe of its toy corpus
# The quickstart's setting: models that train in minutes. Needs CORPUS, which is toy or multi30k.

ARCH=transformer_VARIANT_tiny # with a variant for VARIANT
# Short trainings of a small model take a high rate; the toy grammar is too regular to need dropout.
TRAINING=(--share-all-embeddings --label-smoothing 0.1 --clip-norm 1.0 --lr 0.005 --keep-last-epochs 1)
if [[ "$CORPUS" == toy ]]; then
    BPE=1000 MAX_TOKENS=2048 UPDATES=800
    TRAINING+=(--dropout 0 --warmup-updates 150)
else
    BPE=4000 MAX_TOKENS=4096 UPDATES=1500
    TRAINING+=(--dropout 0.1 --warmup-updates 300)
fi
BATCH_TOKENS="$MAX_TOKENS"
