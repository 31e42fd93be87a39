#!/usr/bin/env bash
# Prepare Multi30k (task 1, German and English image captions) for fairseq.
#
# usage: bash scripts/prepare_multi30k.sh [options]
#
#   --from DIR          take {train,val,test_2016_flickr}.{de,en}[.gz] from DIR, DIR/raw or DIR/data/task1/raw
#                       (a checkout of the dataset); without it the files are fetched from the dataset's repository
#   --out DIR           where to write (default: data/multi30k-de-en)
#   --url BASE          fetch from BASE/train.de.gz ... instead
#   --bpe N             joint BPE merges (default: 8000)
#   --source-lang L, --target-lang L    direction of bin/ (default: de en)
#   --max-tokens N, --min-tokens N, --ratio R    cleaning of the training text (default: 175, 1, 1.5)
#   --drop-duplicates   drop repeated training pairs
#   --drop-empty        drop training pairs with an empty side instead of stopping there
#   --repair            put a blank for control and line-separator characters instead of stopping there
#   --workers N         processes (default: 1); the result does not depend on it
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# Result: raw/ (plain text as published), tok/ (sacremoses normalised and tokenised), clean/ (training text after
# cleaning, report.txt says what was dropped), bpe.codes, bpe/ and bin/ (fairseq-preprocess, joined dictionary).
# valid is val, test is test_2016_flickr. BPE is applied without a vocabulary threshold, as fairseq's recipes do.
# Stages that are done are skipped; after an interruption run the same command again.
#
# examples:
#   bash scripts/prepare_multi30k.sh
#   bash scripts/prepare_multi30k.sh --from ~/multi30k --out data/multi30k-de-en --workers 4
#   bash scripts/prepare_multi30k.sh --from ~/multi30k --source-lang en --target-lang de --dry-run

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

OUT="$ROOT/data/multi30k-de-en"
URL="https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
SETS=(train valid test)
TEST_NAMES=("test test_2016_flickr")
PUBLISHED=(train val test_2016_flickr)

# SHA-256 of the uncompressed published files.
checksum() {
    case "$1" in
    train.de) echo 2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72 ;;
    train.en) echo 460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6 ;;
    val.de) echo 660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660 ;;
    val.en) echo 1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227 ;;
    test_2016_flickr.de) echo 4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16 ;;
    test_2016_flickr.en) echo 399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182 ;;
    esac
}

parse_options "$@"
if [[ -n "$FROM" && ! -d "$FROM" ]]; then
    die "--from $FROM is not a folder; give the one that holds train.de or train.de.gz"
fi
use_python
prepare_start sacremoses subword-nmt fairseq-preprocess

FILES=()
for set in "${PUBLISHED[@]}"; do
    for language in de en; do
        if [[ -n "$FROM" ]]; then
            find_file "$set.$language" "$FROM" "$FROM/raw" "$FROM/data/task1/raw" ||
                die "no $set.$language or $set.$language.gz in $FROM, $FROM/raw or $FROM/data/task1/raw; put it there or leave --from out to fetch it"
            FILES+=("$FOUND")
        else
            FILES+=("$OUT/download/$set.$language.gz")
            fetch "$URL/$set.$language.gz" "$OUT/download/$set.$language.gz" "$(checksum "$set.$language")"
        fi
    done
done
if [[ -n "$FROM" ]]; then
    other="$(differs_from_published "${FILES[@]}")"
    [[ "$other" -eq 0 ]] || note "$other of ${#FILES[@]} files in $FROM differ from the published ones; going on with them"
fi

stage raw raw "repair=$REPAIR empty=$DROP_EMPTY" read_pairs "${FILES[@]}"
text_stages
