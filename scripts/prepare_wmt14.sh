#!/usr/bin/env bash
# Prepare WMT 2014 English-German or English-French for fairseq, as "Attention Is All You Need" uses them.
#
# usage: bash scripts/prepare_wmt14.sh [--pair en-de|en-fr] [options]
#
#   --pair P            en-de (default; Europarl v7, Common Crawl, News Commentary v9: 4.5 million pairs) or en-fr (these,
#                       the UN corpus and the 10^9 corpus: 41 million pairs, 36 million after cleaning)
#   --from DIR          take archives and files from DIR instead of the network: the archives as published or as mirrored
#                       (training-parallel-europarl-v7.tgz or .zip ...), or what is in them, plain or gzipped, in DIR or
#                       in its folders training, un, dev, test, test-full
#   --out DIR           where to write (default: data/wmt14-en-de, data/wmt14-en-fr)
#   --url BASE          fetch BASE/training-parallel-europarl-v7.tgz ... instead
#   --bpe N             joint BPE merges (default: 37000 for en-de, 32000 for en-fr)
#   --source-lang L, --target-lang L    direction of bin/ (default: from English)
#   --max-tokens N, --min-tokens N, --ratio R    cleaning of the training text (default: 250, 1, 1.5)
#   --drop-held-out N   drop training pairs of which a side of at least N tokens stands in newstest2013 or newstest2014
#                       (default: 6; 0 drops none); clean/report.txt counts them
#   --drop-duplicates   drop repeated training pairs (about 150 bytes of memory for each pair kept)
#   --workers N         processes (default: 1); the result does not depend on it
#   --disk GB           insist on so much free space (default: en-de 20, en-fr 130; 0: no check)
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# Result: download/, orig/ (the files of the pair), raw/, tok/, clean/, bpe.codes, bpe/ and bin/, as
# scripts/prepare_multi30k.sh --help describes. valid is newstest2013, test is newstest2014 (the full one, 3,003 lines).
# Control characters and line separators become blanks and pairs with an empty side are dropped: this training text has
# both. Text goes through in parts, so that 41 million pairs need no more memory than 200,000 lines for each worker; only
# learning the BPE holds the vocabulary of words. A rerun compares the checksums of all files, minutes for en-fr.
#
# Unlike fairseq's prepare-wmt14en2de.sh it takes News Commentary of 2014, not 2017, counts tokens and not BPE pieces
# when it cleans, leaves hyphens alone (scripts/score.sh splits compounds), and takes no training text for validation.
# The paper cuts French into 32,000 word pieces; here 32,000 joint BPE merges stand for them.
#
# Checksums: all archives but one are pinned by SHA-256, as published with TensorFlow Datasets and, for the mirror
# (huggingface.co/datasets/wmt), with Hugging Face's datasets; test-full.tgz by the MD5 that sacreBLEU publishes. An
# archive that cannot be had from statmt.org is fetched from the mirror; there is none of test-full.tgz.
#
# examples:
#   bash scripts/prepare_wmt14.sh --workers 8
#   bash scripts/prepare_wmt14.sh --pair en-fr --workers 16 --out /scratch/wmt14-en-fr
#   bash scripts/prepare_wmt14.sh --from ~/wmt14 --source-lang de --target-lang en --dry-run

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

PAIR=en-de OUT="" BPE="" SOURCE="" TARGET=""
MAX_TOKENS=250
DROP_HELD_OUT=6
REPAIR=1 DROP_EMPTY=1
STATMT="https://www.statmt.org"
MIRROR="https://huggingface.co/datasets/wmt"

OPTIONS=(--pair=PAIR:known_pair)
known_pair() { [[ "$2" == en-de || "$2" == en-fr ]] || die "--pair takes en-de or en-fr, not '$2'" 2; }

settle_options() {
    LANGUAGES=(en "${PAIR#en-}")
    : "${OUT:="$ROOT/data/wmt14-$PAIR"}"
    : "${SOURCE:=en}"
    # The other one of the two.
    : "${TARGET:="${LANGUAGES[$([[ "$SOURCE" != en ]] || echo 1)]}"}"
    if [[ "$PAIR" == en-de ]]; then : "${BPE:=37000}"; else : "${BPE:=32000}"; fi
}

# corpus NAME: its sources (name, checksum, address, and those of the mirror) in SOURCES, its two files in MEMBERS.
corpus() {
    local other="${LANGUAGES[1]}"
    case "$1" in
    europarl)
        SOURCES=(
            training-parallel-europarl-v7.tgz 0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7 "$STATMT/wmt13"
            training-parallel-europarl-v7.zip 5b2d8b32c2396da739b4e731871c597fcc6e75729becd74619d0712eecf7770e "$MIRROR/wmt13/resolve/main-zip"
        )
        MEMBERS=("europarl-v7.$other-en".{en,"$other"})
        ;;
    commoncrawl)
        SOURCES=(
            training-parallel-commoncrawl.tgz c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5 "$STATMT/wmt13"
            training-parallel-commoncrawl.zip 5ffe980072ea29adfd84568d099bea366d9f72772b988e670794ae851b4e5627 "$MIRROR/wmt13/resolve/main-zip"
        )
        MEMBERS=("commoncrawl.$other-en".{en,"$other"})
        ;;
    un)
        SOURCES=(
            training-parallel-un.tgz 29141b5c1eba149a94f7a59d3b1a834b2e47fe0f8758d68dcd77a3d3f497ee47 "$STATMT/wmt13"
            training-parallel-un.zip 74f07002e053c81bc7f73b4fdab58e7987e831338748f264cbda82a8b062d2e2 "$MIRROR/wmt13/resolve/main-zip"
        )
        MEMBERS=("undoc.2000.$other-en".{en,"$other"})
        ;;
    news-commentary)
        SOURCES=(
            training-parallel-nc-v9.tgz cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485 "$STATMT/wmt14"
            training-parallel-nc-v9.zip ce199f93ec56ff480137ba29f0819f9a22e70d88be6d7458f112303d67d623d5 "$MIRROR/wmt14/resolve/main-zip"
        )
        MEMBERS=("news-commentary-v9.$other-en".{en,"$other"})
        ;;
    giga-fren)
        SOURCES=(
            training-giga-fren.tar 3ff8319f6919393520559bfbc7ad6a747ec81b3abc7be9993b338d4b017b4d9a "$STATMT/wmt10"
            training-giga-fren.zip 9439f86523e5dff3f923526dbf6c6929da1786c18dbf64436d2b7564b83aaba3 "$MIRROR/wmt10/resolve/main-zip"
        )
        MEMBERS=(giga-fren.release2.fixed.{en,"$other"})
        ;;
    newstest2013)
        SOURCES=(
            dev.tgz 7a7deccf82ebb05ba508dba5eb21356492224e8f630ec4f992132b029b4b25e7 https://data.statmt.org/wmt19/translation-task
            dev.zip d796e363740fdc4261aa6f5a3d2f8223e3adaee7d737b7724863325b8956dfd1 "$MIRROR/wmt19/resolve/main-zip/translation-task"
        )
        MEMBERS=(newstest2013.{en,"$other"} newstest2013-src.{en,"$other"}.sgm)
        ;;
    newstest2014)
        SOURCES=(test-full.tgz md5:a8cd784e006feb32ac6f3d9ec7eb389a "$STATMT/wmt14")
        MEMBERS=("newstest2014-${other}en-src.en.sgm" "newstest2014-${other}en-ref.$other.sgm")
        ;;
    esac
}

# find_corpus NAME FOLDER...: its two files, in FILE_PAIR; status 1 if they are not there.
find_corpus() {
    local i name="$1"
    shift
    corpus "$name"
    FILE_PAIR=()
    for ((i = 0; i < ${#MEMBERS[@]}; i += 2)); do
        if find_file "${MEMBERS[i]}" "$@"; then
            FILE_PAIR=("$FOUND")
            find_file "${MEMBERS[i + 1]}" "$@" ||
                die "${MEMBERS[i]} is there but ${MEMBERS[i + 1]} is missing in $1; both sides are needed"
            FILE_PAIR+=("$FOUND")
            return 0
        fi
    done
    return 1
}

unpack() {
    local i
    make_dir "$PARTIAL/orig"
    for ((i = 0; i < ${#ARCHIVES[@]}; i++)); do
        corpus "${PACKED[i]}"
        run "$PYTHON" "$ROOT/scripts/unpack_members.py" "${ARCHIVES[i]}" "$PARTIAL/orig" "${MEMBERS[@]}"
    done
}

parse_options "$@"
[[ -z "$FROM" || -d "$FROM" ]] || die "--from $FROM is not a folder; give the one that holds the archives or their files"
use_python
prepare_start sacremoses subword-nmt fairseq-preprocess
if [[ "$PAIR" == en-de ]]; then
    CORPORA=(europarl commoncrawl news-commentary newstest2013 newstest2014)
    need_disk 20
else
    CORPORA=(europarl commoncrawl un news-commentary giga-fren newstest2013 newstest2014)
    need_disk 130
fi
TRAINING_PAIRS=$((${#CORPORA[@]} - 2))

FOLDERS=("$FROM"{,/training,/un,/dev,/test,/test-full})
PACKED=() ARCHIVES=()
for name in "${CORPORA[@]}"; do
    if [[ -n "$FROM" ]]; then
        ! find_corpus "$name" "${FOLDERS[@]}" || continue
        for ((i = 0; i < ${#SOURCES[@]}; i += 3)); do
            [[ ! -f "$FROM/${SOURCES[i]}" ]] || break
        done
        [[ "$i" -lt ${#SOURCES[@]} ]] ||
            die "neither ${MEMBERS[0]} (or .gz) nor ${SOURCES[0]} is in $FROM; put one there, or leave --from out to fetch it"
        [[ "$DRY_RUN" == 1 || "$(checksum_of "$FROM/${SOURCES[i]}" "${SOURCES[i]}" "${SOURCES[i + 1]}")" == "${SOURCES[i + 1]}" ]] ||
            note "$FROM/${SOURCES[i]} differs from the published one; going on with it"
        FETCHED="$FROM/${SOURCES[i]}"
    else
        corpus "$name"
        addresses=()
        for ((i = 0; i < ${#SOURCES[@]}; i += 3)); do
            addresses+=("${SOURCES[i]}" "${SOURCES[i + 1]}" "${URL:-${SOURCES[i + 2]}}/${SOURCES[i]}")
        done
        fetch_first "$OUT/download" "${addresses[@]}"
    fi
    PACKED+=("$name")
    ARCHIVES+=("$FETCHED")
done
if [[ ${#ARCHIVES[@]} -gt 0 ]]; then
    stage unpack orig "${PACKED[*]}" unpack "${ARCHIVES[@]}"
    FOLDERS=("$OUT/orig" "${FOLDERS[@]}")
fi

SETS=(train valid test)
TEST_NAMES=("test newstest2014")
FILES=()
for name in "${CORPORA[@]}"; do
    if ! find_corpus "$name" "${FOLDERS[@]}"; then
        # What an archive holds is only known once it is unpacked.
        [[ "$DRY_RUN" == 1 ]] || die "no ${MEMBERS[0]} and ${MEMBERS[1]} in ${SOURCES[0]}; give --from a folder that holds them"
        FILE_PAIR=("$OUT/orig/${MEMBERS[0]}" "$OUT/orig/${MEMBERS[1]}")
    fi
    FILES+=("${FILE_PAIR[@]}")
done

stage raw raw "repair=$REPAIR empty=$DROP_EMPTY $PAIR" read_pairs "${FILES[@]}"
text_stages
