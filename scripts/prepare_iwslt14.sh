#!/usr/bin/env bash
# Prepare IWSLT 2014 German-English (TED talks) for fairseq, with the splits of fairseq's prepare-iwslt14.sh.
#
# usage: bash scripts/prepare_iwslt14.sh [options]
#
#   --from PATH         take the release from PATH: its archive (de-en.tgz), a folder with it, or a folder with its files,
#                       plain or gzipped (also in PATH/de-en): train.tags.de-en.{de,en} and
#                       IWSLT14.TED{,X}.SET.de-en.{de,en}.xml; without --from de-en.tgz is fetched (about 20 MB)
#   --out DIR           where to write (default: data/iwslt14-de-en)
#   --url BASE          fetch BASE/de-en.tgz instead
#   --sha256 HEX        the archive must have this SHA-256
#   --bpe N             joint BPE merges (default: 10000)
#   --source-lang L, --target-lang L    direction of bin/ (default: de en)
#   --max-tokens N, --min-tokens N, --ratio R    cleaning of the training text (default: 175, 1, 1.5)
#   --drop-held-out N   drop training pairs of which a side of at least N tokens stands in the test set (default: 6);
#                       0 drops none and so gives fairseq's own 160,239 training and 7,283 validation pairs
#   --drop-duplicates   drop repeated training pairs
#   --drop-empty        drop training pairs with an empty side instead of stopping there
#   --repair            put a blank for control and line-separator characters instead of stopping there
#   --workers N         processes (default: 1); the result does not depend on it
#   --disk GB           insist on so much free space (default: 1; 0: no check)
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# Result: orig/ (files of the archive, if there was one), raw/ (plain text), tok/, clean/, bpe.codes, bpe/ and bin/, as
# scripts/prepare_multi30k.sh --help describes, and in lower case from tok/ on. The training text is sentences, titles
# and descriptions; every 23rd pair that cleaning keeps becomes valid, which so is in clean/ and not in raw/ and tok/.
# test is dev2010, TEDX.dev2012, tst2010, tst2011 and tst2012 in one (6,750 pairs); raw/test.lower.* is it in lower case,
# the reference for what such a model writes. One dictionary serves both languages, where fairseq's README has two.
#
# Checksums: none is published of this archive. The SHA-256 of the first download is written beside it
# (download/de-en.tgz.sha256) and must hold from then on. Give --sha256 to insist on one you know. The address is that of
# fairseq's copy, since the release's own (wit3.fbk.eu) is gone; no other copy of the whole release is known.
#
# examples:
#   bash scripts/prepare_iwslt14.sh
#   bash scripts/prepare_iwslt14.sh --from ~/Downloads/de-en.tgz --workers 4
#   bash scripts/prepare_iwslt14.sh --from ~/iwslt14 --drop-held-out 0 --source-lang en --target-lang de

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

OUT="$ROOT/data/iwslt14-de-en"
URL="https://dl.fbaipublicfiles.com/fairseq/data/iwslt14"
BPE=10000
DROP_HELD_OUT=6
SHA256=""
TITLES=1
TOKENISE=(tokenize)
LOWERCASE=1
VALID_EVERY=23
TEST_PARTS=(TED.dev2010 TEDX.dev2012 TED.tst2010 TED.tst2011 TED.tst2012)

OPTIONS=(--sha256=SHA256:sha256_sum)

# read_release: the training text, and the parts of the test set as one, with plain apostrophes as fairseq has them.
read_release() {
    local SETS=(train "${TEST_PARTS[@]}") language parts
    read_pairs
    for language in "${LANGUAGES[@]}"; do
        parts=("${TEST_PARTS[@]/#/$PARTIAL/raw/}")
        parts=("${parts[@]/%/.$language}")
        if [[ "$DRY_RUN" == 1 ]]; then
            show cat "${parts[@]}" '|' sed "s/’/'/g" '>' "$PARTIAL/raw/test.$language"
            continue
        fi
        cat "${parts[@]}" | sed "s/’/'/g" >"$PARTIAL/raw/test.$language"
        rm "${parts[@]}"
        redirected "$PARTIAL/raw/test.$language" "$PARTIAL/raw/test.lower.$language" fairseq-plugins lowercase
    done
}

parse_options "$@"
find_release de-en.tgz
use_python
prepare_start sacremoses subword-nmt fairseq-preprocess tar
need_disk 1

FOLDERS=("$FROM" "$FROM/de-en")
open_release de-en.tgz "$SHA256"

find_texts IWSLT14 de-en "${TEST_PARTS[@]}"

SETS=(train valid test)
TEST_NAMES=("test ${TEST_PARTS[*]}")
stage raw raw "repair=$REPAIR empty=$DROP_EMPTY ${TEST_NAMES[*]}" read_release "${FILES[@]}"
text_stages
