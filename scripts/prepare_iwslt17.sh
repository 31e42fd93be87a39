#!/usr/bin/env bash
# Prepare IWSLT 2017 German-English (TED talks) for fairseq, from the official release.
#
# usage: bash scripts/prepare_iwslt17.sh [options]
#
#   --from PATH         take the release from PATH: its archive (en-de.tgz or de-en.tgz), a folder with one of them,
#                       or a folder with its files, plain or gzipped (also in PATH/xml, PATH/en-de, PATH/de-en):
#                       train.tags.{en-de,de-en}.{de,en} and IWSLT17.TED.SET.{en-de,de-en}.{de,en}.xml;
#                       without --from en-de.tgz is fetched (about 20 MB)
#   --out DIR           where to write (default: data/iwslt17-de-en)
#   --url BASE          fetch BASE/en-de.tgz instead
#   --sha256 HEX        the archive must have this SHA-256
#   --tests "SET ..."   test sets, the first becomes "test", the others test1, test2 ...
#                       (default: tst2015 tst2014 tst2013 tst2012 tst2011 tst2010)
#   --bpe N             joint BPE merges (default: 10000)
#   --source-lang L, --target-lang L    direction of bin/ (default: de en)
#   --max-tokens N, --min-tokens N, --ratio R    cleaning of the training text (default: 175, 1, 1.5)
#   --drop-duplicates   drop repeated training pairs
#   --drop-held-out N   drop training pairs of which a side of at least N tokens stands in dev2010 or a test set
#                       (default: 6; 0 drops none); clean/report.txt counts them
#   --drop-empty        drop training pairs with an empty side instead of stopping there
#   --repair            put a blank for control and line-separator characters instead of stopping there
#   --workers N         processes (default: 1); the result does not depend on it
#   --disk GB           insist on so much free space (default: 1; 0: no check)
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# Result: orig/ (files of the archive, if there was one), raw/ (plain text; test.names says which set is which), tok/,
# clean/, bpe.codes, bpe/ and bin/, as scripts/prepare_multi30k.sh --help describes. valid is dev2010. Of the training
# files the sentence lines are taken, not titles and descriptions: 206,112 pairs in the full release.
#
# Checksums: the development and test files are pinned by SHA-256. The archive is pinned by the MD5 that sacreBLEU
# publishes for it; no SHA-256 of it is published, so the one of the first download is written beside it
# (download/en-de.tgz.sha256) and must hold from then on. Give --sha256 to insist on one you know.
#
# examples:
#   bash scripts/prepare_iwslt17.sh
#   bash scripts/prepare_iwslt17.sh --from ~/Downloads/en-de.tgz --workers 4
#   bash scripts/prepare_iwslt17.sh --from ~/iwslt17 --tests tst2014 --bpe 32000 --source-lang en --target-lang de

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

OUT="$ROOT/data/iwslt17-de-en"
URL="https://raw.githubusercontent.com/hlt-mt/WIT3/master/archive/2017-01-trnted/texts/en/de"
ARCHIVE_CHECKSUM="md5:d8a32cfc002a4f12b17429cfa78050e6"
BPE=10000
DROP_HELD_OUT=6
SHA256=""
TESTS="tst2015 tst2014 tst2013 tst2012 tst2011 tst2010"

# SHA-256 of the published development and test files (uncompressed).
checksum() {
    case "$1" in
    IWSLT17.TED.dev2010.en-de.de.xml) echo e8e5a7c1cdb11058d5d2727adc6891bfdb9edce2607b910a22b2bb000bc2db5e ;;
    IWSLT17.TED.dev2010.en-de.en.xml) echo f5470e474379f74a959cf5b899b3d6507dafb48a19cabe364da5a53292365bf0 ;;
    IWSLT17.TED.tst2010.en-de.de.xml) echo 3df32dab390a64b4f110157d674a8d750895f4dde7efd81fbeac728cd8b9de72 ;;
    IWSLT17.TED.tst2010.en-de.en.xml) echo 35ea4bf5ca99a0dcfadfd4c4eddde4cf7786a300429d2ca4d3711fa60f2a2e34 ;;
    IWSLT17.TED.tst2011.en-de.de.xml) echo cbaf2a6fe51c60422cd138816588ec94dfa2db3e62aef1d049ddf814b3ae5570 ;;
    IWSLT17.TED.tst2011.en-de.en.xml) echo b08622aa8d5337b5bfc77ef4d3abf300c6b5c14fcbb82b6f6c793dabcbe9d1ed ;;
    IWSLT17.TED.tst2012.en-de.de.xml) echo e7b73a4a4dee9da521bed577b6575a311b3e08546804ec1d089aa151993544a3 ;;
    IWSLT17.TED.tst2012.en-de.en.xml) echo 48447c8f5cfe18dcb6a60d513320a7be0734d98b4ad69c23430a288fd6216ab4 ;;
    IWSLT17.TED.tst2013.en-de.de.xml) echo 72a4c645944f7f7b45950ac650c3e318c37491d06a7ac31de33d07c1ac101759 ;;
    IWSLT17.TED.tst2013.en-de.en.xml) echo b3bcd8f67ec54248d7c5cb75059608aa0643be20b5773b27dbc79e13732e021a ;;
    IWSLT17.TED.tst2014.en-de.de.xml) echo 618b63df2c1b43eb66e0970a4ed087def33d05681aa3acca3a39a7cc14aaec11 ;;
    IWSLT17.TED.tst2014.en-de.en.xml) echo 33029e69511ac39f781c39c75f3e92996c23e378a9aff4cb6a3470ccd7ee6829 ;;
    IWSLT17.TED.tst2015.en-de.de.xml) echo 184a1978681a29c9a018d4a17497db80f125131dfda625b7f3d0e8b0dc2ae7ad ;;
    IWSLT17.TED.tst2015.en-de.en.xml) echo 6173fda12ab62389ee8d8bfe2fd3419de42d5529d4c14e1577a77ac9a4d09fcb ;;
    esac
}

OPTIONS=(--sha256=SHA256:sha256_sum --tests=TESTS:set_names)
set_names() {
    [[ "$2" =~ ^[A-Za-z0-9]+(\ [A-Za-z0-9]+)*$ ]] || die "--tests takes names such as 'tst2015 tst2014', not '$2'" 2
}

parse_options "$@"
find_release en-de.tgz de-en.tgz
use_python
prepare_start sacremoses subword-nmt fairseq-preprocess tar
need_disk 1

FOLDERS=("$FROM" "$FROM/xml" "$FROM/en-de" "$FROM/de-en")
open_release en-de.tgz "$ARCHIVE_CHECKSUM"

SETS=(train valid)
TEST_NAMES=()
for set in $TESTS; do
    name="test$((${#SETS[@]} - 2))"
    [[ "$name" != test0 ]] || name="test"
    SETS+=("$name")
    TEST_NAMES+=("$name $set")
done

# shellcheck disable=SC2086 # names without blanks
find_texts IWSLT17.TED en-de dev2010 $TESTS
if ! only_in_archive; then
    other="$(differs_from_published "${FILES[@]}")"
    if [[ "$other" -gt 0 ]]; then
        [[ -n "$FROM" ]] || die "$other files in $OUT/orig are not the published ones although their archive has the right checksum; remove $OUT/orig and run the same command again"
        note "$other of ${#FILES[@]} files differ from the published en-de ones; going on with them"
    fi
fi

stage raw raw "repair=$REPAIR empty=$DROP_EMPTY ${TEST_NAMES[*]}" read_pairs "${FILES[@]}"
text_stages
