#!/usr/bin/env bash
# Prepare the Penn Treebank for parsing as translation: sentences on the source side, brackets on the target side.
#
# usage: bash scripts/prepare_treebank.sh --from PATH [options]
#
#   --from PATH         the treebank, which is not free to fetch (Linguistic Data Consortium, LDC99T42): a folder with
#                       wsj_0200.mrg and the other articles of sections 02 to 23, plain or gzipped, at any depth. Or a
#                       sample: a bracketed file (.mrg, .mrg.gz), or a folder of them, as the sample of sections 00 and 01
#                       that NLTK offers ('treebank', 3,914 trees)
#   --out DIR           where to write (default: data/treebank)
#   --vocab N           the N most frequent words of the training sentences are the source dictionary, all others <unk>
#                       (default: 16000)
#   --bpe N             instead of --vocab: N merges, learnt on the training sentences
#   --valid N, --test N    trees of a sample (default: 400, 400)
#   --workers N         processes (default: 1); the result does not depend on it
#   --smoke             a few short sentences only; without --from those of the toy treebank
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# The split of the whole treebank is the usual one: sections 02-21 train, 22 valid, 23 test. Of a sample the last trees
# are test, those before them valid, in the order of the files: 3,114, 400 and 400 of NLTK's.
#
# Result: raw/{train,valid,test}.{trees,words,brackets} (gold trees as EVALB takes them; see fairseq-plugins
# treebank-prepare --help), with --bpe bpe.codes and bpe/, and bin/ with a dictionary for each side.
# Stages that are done are skipped; after an interruption run the same command again.
#
# examples:
#   bash scripts/prepare_treebank.sh --from ~/treebank_3/parsed/mrg/wsj
#   bash scripts/prepare_treebank.sh --from ~/nltk_data/corpora/treebank/combined --bpe 2000 --out data/treebank-sample
#   bash scripts/prepare_treebank.sh --smoke --out /tmp/treebank

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

OUT="$ROOT/data/treebank"
SETS=(train valid test)
VALID=400 TEST=400 VOCAB=16000 MERGES=""

OPTIONS=(--vocab=VOCAB:from_1:no_merges --bpe=MERGES:from_1 --valid=VALID:from_1 --test=TEST:from_1 --smoke=SMOKE:1)
no_merges() { MERGES=""; }
refuse --url --source-lang --target-lang --min-tokens --max-tokens --ratio --drop-duplicates --drop-empty \
    --drop-held-out --repair --disk

write_toy() { plugin treebank-toy "$PARTIAL/toy.mrg" --trees 300; }

read_trees() {
    local options=(--valid "$VALID" --test "$TEST")
    [[ "$SMOKE" == 0 ]] || options+=(--smoke)
    plugin treebank-prepare "$FROM" --out "$PARTIAL/raw" "${options[@]}"
}

learn_codes() {
    if [[ "$DRY_RUN" == 1 ]]; then
        show subword-nmt learn-bpe -s "$MERGES" '<' "$OUT/raw/train.words" '>' "$PARTIAL/bpe.codes"
        return
    fi
    spawn redirected "$OUT/raw/train.words" "$PARTIAL/bpe.codes" subword-nmt learn-bpe -s "$MERGES"
    await subword-nmt
}

apply_codes() {
    local set
    make_dir "$PARTIAL/bpe"
    for set in "${SETS[@]}"; do
        filter "$OUT/raw/$set.words" "$PARTIAL/bpe/$set.words" subword-nmt apply-bpe -c "$OUT/bpe.codes"
        run cp "$OUT/raw/$set.brackets" "$PARTIAL/bpe/$set.brackets"
    done
}

binarise() {
    local words=()
    # fairseq counts its four special symbols too.
    [[ -n "$MERGES" ]] || words=(--nwordssrc $((VOCAB + 4)))
    INDICES=({train,valid,test}.words-brackets.{words,brackets})
    preprocess --source-lang words --target-lang brackets --trainpref "$TEXT/train" --validpref "$TEXT/valid" \
        --testpref "$TEXT/test" --destdir "$PARTIAL/bin" --workers "$WORKERS" ${words[@]+"${words[@]}"}
    [[ "$DRY_RUN" == 1 ]] ||
        note "bin: dictionaries of $(($(wc -l <"$PARTIAL/bin/dict.words.txt"))) and $(($(wc -l <"$PARTIAL/bin/dict.brackets.txt"))) types"
}

parse_options "$@"
[[ -n "$FROM" || "$SMOKE" == 1 ]] ||
    die "where is the treebank? Give --from: it is licensed (LDC99T42), a sample comes with NLTK (nltk.download('treebank')); see $PROGRAM --help" 2
[[ -z "$FROM" || -e "$FROM" ]] || die "--from $FROM does not exist; give the treebank's folder or a bracketed file"
use_python
prepare_start subword-nmt fairseq-preprocess

if [[ -z "$FROM" ]]; then
    VALID=40 TEST=40
    stage toy toy.mrg "" write_toy "$ROOT"/fairseq_plugins/parsing/{toy,trees}.py
    FROM="$OUT/toy.mrg"
fi
INPUTS=("$FROM")
if [[ -d "$FROM" && "$DRY_RUN" == 0 ]]; then
    mapfile -t INPUTS < <(find -L "$FROM" -type f \( -iname '*.mrg' -o -iname '*.mrg.gz' \) | LC_ALL=C sort)
fi
# shellcheck disable=SC2119 # no arguments
stage raw raw "valid=$VALID test=$TEST smoke=$SMOKE" read_trees "${INPUTS[@]}"

TEXT="$OUT/raw"
if [[ -n "$MERGES" ]]; then
    stage codes bpe.codes "$MERGES" learn_codes "$OUT/raw/train.words"
    stage bpe bpe "" apply_codes "$OUT/bpe.codes" "$OUT"/raw/{train,valid,test}.{words,brackets}
    TEXT="$OUT/bpe"
fi
stage binarise bin "vocabulary ${MERGES:-of $VOCAB words}" binarise "$TEXT"/{train,valid,test}.{words,brackets}
[[ "$DRY_RUN" == 1 ]] || note "ready: fairseq-train $(printf '%q ... (gold trees: %q)' "$OUT/bin" "$OUT/raw/test.trees")"
