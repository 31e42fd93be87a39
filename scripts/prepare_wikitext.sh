#!/usr/bin/env bash
# Prepare WikiText-2 or WikiText-103 for masked language modelling with fairseq, as byte-level BPE.
#
# usage: bash scripts/prepare_wikitext.sh {2|103} [options]
#
#   --from PATH         take the text from PATH: an archive of the release (.zip), or a folder with one, or a folder with
#                       the three files of one layout, plain or gzipped (also in PATH/wikitext-N-raw, PATH/wikitext-N):
#                       wiki.{train,valid,test}.raw, wiki.{train,valid,test}.tokens or {train,valid,test}.txt;
#                       without --from the archive is fetched (WikiText-2 about 5 MB, WikiText-103 about 190 MB)
#   --layout L          raw: text as it is; tokens: rare words are <unk>, which becomes the dictionary's <unk>
#                       (default: by the names of the files, {train,valid,test}.txt by whether <unk> stands there; raw
#                       where both are to be had or the archive is fetched)
#   --out DIR           where to write (default: data/wikitext-2, data/wikitext-103)
#   --url BASE          fetch BASE/wikitext-{2,103}{-raw,}-v1.zip instead
#   --bpe N             symbols of the BPE, which is learnt from the training text (default: 4096 for WikiText-2; 50257
#                       for WikiText-103, with which models have as many parameters as RoBERTa's own)
#   --gpt2-bpe DIR      learn nothing: take encoder.json, vocab.bpe and dict.txt from DIR, those of GPT-2 and RoBERTa
#                       for example; with these bin/ fits RoBERTa's released models
#   --workers N         processes (default: 1); the result does not depend on it
#   --smoke             a few hundred lines only; without --from a little text of the toy corpus, nothing is fetched
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# Result: raw/{train,valid,test}.txt, bpe/ (encoder.json and vocab.bpe in GPT-2's formats), encoded/ (the ids as text),
# bin/ (fairseq-preprocess --only-source, with dict.txt) and text.json, with which scripts/complete.sh and
# scripts/fill_mask.sh take raw text. As in fairseq's RoBERTa recipe white space around lines is
# dropped and empty lines stay. With a learnt BPE dict.txt holds all of its ids, so that whatever is encoded later has no
# unknown words. Stages that are done are skipped; after an interruption run the same command again.
#
# examples:
#   bash scripts/prepare_wikitext.sh 2 --from ~/wikitext-2 --layout tokens --bpe 4096
#   bash scripts/prepare_wikitext.sh 103 --gpt2-bpe ~/gpt2_bpe --workers 8
#   bash scripts/prepare_wikitext.sh 103 --from ~/Downloads/wikitext-103-raw-v1.zip --dry-run

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

CORPUS=""
LAYOUT=""
GPT2_BPE=""
URL="https://wikitext.smerity.com"
SPLITS=(train valid test)
SMOKE_LINES=(400 60 60)
SIZE="" # of the BPE, if given

# SHA-256 of the released archives.
archive_checksum() {
    case "$1" in
    wikitext-2-raw-v1.zip) echo ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11 ;;
    wikitext-2-v1.zip) echo 92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c ;;
    wikitext-103-raw-v1.zip) echo 91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794 ;;
    wikitext-103-v1.zip) echo 242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590 ;;
    esac
}

OPTIONS=("2=:corpus" "103=:corpus" --layout=LAYOUT:layout --bpe=BPE:size --gpt2-bpe=GPT2_BPE:folder --smoke=SMOKE:1)
MEANINGLESS=": this is one text, taken as it is"
refuse --source-lang --target-lang --min-tokens --max-tokens --ratio --drop-duplicates --drop-empty --repair

corpus() {
    [[ -z "$CORPUS" ]] || die "one corpus, not $CORPUS and $1; see $PROGRAM --help" 2
    CORPUS="$1"
}
layout() { [[ "$2" == raw || "$2" == tokens ]] || die "--layout takes raw or tokens, not '$2'" 2; }
size() { SIZE="$2"; }

# ------------------------------------------------------------------ finding the text

# archive_in FOLDER: the archive of the wanted layout that lies there, in ARCHIVE; the raw one first.
archive_in() {
    local layout
    for layout in raw tokens; do
        [[ "${LAYOUT:-$layout}" == "$layout" ]] || continue
        ARCHIVE="$1/$(archive_name "$layout")"
        [[ ! -f "$ARCHIVE" ]] || return 0
    done
    ARCHIVE=""
    return 1
}

archive_name() {
    if [[ "$1" == raw ]]; then echo "wikitext-$CORPUS-raw-v1.zip"; else echo "wikitext-$CORPUS-v1.zip"; fi
}

# find_splits FOLDER...: all three files of one layout, in FILES; LAYOUT says which, or is set to what was found.
# The naming of plain text files belongs to both layouts.
find_splits() {
    local naming layout split pattern
    for naming in "raw wiki.%s.raw" "tokens wiki.%s.tokens" "plain %s.txt"; do
        read -r layout pattern <<<"$naming"
        [[ "$layout" == plain || "${LAYOUT:-$layout}" == "$layout" ]] || continue
        FILES=()
        for split in "${SPLITS[@]}"; do
            # shellcheck disable=SC2059 # the pattern is one of the three above
            ! find_file "$(printf "$pattern" "$split")" "$@" || FILES+=("$FOUND")
        done
        if [[ "${#FILES[@]}" -eq 3 ]]; then
            [[ "$layout" == plain ]] || LAYOUT="$layout"
            return 0
        fi
    done
    FILES=()
    return 1
}

unpack() {
    make_dir "$PARTIAL/orig"
    if [[ "$DRY_RUN" == 0 ]]; then
        "$PYTHON" -m zipfile -t "$ARCHIVE" >"$LOG" 2>&1 ||
            die "$ARCHIVE is damaged, incomplete or no zip archive; fetch it again"
    fi
    run "$PYTHON" -m zipfile -e "$ARCHIVE" "$PARTIAL/orig"
}

# ------------------------------------------------------------------ stages

# copy_text INPUT OUTPUT LINES: the whole text, uncompressed; at most LINES lines of it unless LINES is 0.
copy_text() {
    local read=(gzip -dcf "$1") # plain text goes through as it is
    if [[ "$DRY_RUN" == 1 ]]; then
        if [[ "$3" -eq 0 ]]; then show "${read[@]}" '>' "$2"; else show "${read[@]}" '|' head -n "$3" '>' "$2"; fi
        return
    fi
    if [[ "$1" == *.gz ]] && ! gzip -t "$1" 2>/dev/null; then
        die "$1: the gzip file is damaged or incomplete; fetch it again"
    fi
    if [[ "$3" -eq 0 ]]; then "${read[@]}" >"$2"; else "${read[@]}" | { head -n "$3" && cat >/dev/null; } >"$2"; fi
    grep -q '[^[:space:]]' "$2" || die "$1: the file is empty; fetch it again"
}

read_splits() {
    local i
    make_dir "$PARTIAL/raw"
    for i in 0 1 2; do
        copy_text "${FILES[i]}" "$PARTIAL/raw/${SPLITS[i]}.txt" "$([[ "$SMOKE" == 1 ]] && echo "${SMOKE_LINES[i]}" || echo 0)"
    done
}

# Without text of one's own a smoke run takes the English side of the toy corpus, in paragraphs.
toy_splits() {
    local i
    make_dir "$PARTIAL/raw"
    plugin toy-corpus --out "$PARTIAL/toy" --seed 1 --train "${SMOKE_LINES[0]}" --valid "${SMOKE_LINES[1]}" \
        --test "${SMOKE_LINES[2]}"
    for i in 0 1 2; do
        if [[ "$DRY_RUN" == 1 ]]; then
            show paste -d '    \n' -s "$PARTIAL/toy/${SPLITS[i]}.en" '>' "$PARTIAL/raw/${SPLITS[i]}.txt"
        else
            paste -d '    \n' -s "$PARTIAL/toy/${SPLITS[i]}.en" >"$PARTIAL/raw/${SPLITS[i]}.txt"
        fi
    done
}

learn_bpe() {
    plugin learn-byte-bpe "$OUT/raw/train.txt" --size "$BPE" --output "$PARTIAL/bpe" ${UNK[@]+"${UNK[@]}"}
}

copy_bpe() {
    make_dir "$PARTIAL/bpe"
    run cp "$GPT2_BPE/encoder.json" "$GPT2_BPE/vocab.bpe" "$GPT2_BPE/dict.txt" "$PARTIAL/bpe/"
}

encode() {
    local arguments=(--bpe "$OUT/bpe" --workers "$WORKERS" ${UNK[@]+"${UNK[@]}"})
    [[ -n "$GPT2_BPE" ]] || arguments+=(--dict "$PARTIAL/encoded/dict.txt")
    make_dir "$PARTIAL/encoded"
    # fairseq's modules speak up about packages that they could use.
    LOGLEVEL=WARNING plugin apply-byte-bpe "$OUT"/raw/{train,valid,test}.txt --output "$PARTIAL"/encoded/{train,valid,test} \
        "${arguments[@]}"
}

binarise_ids() {
    local text="$OUT/encoded"
    INDICES=("${SPLITS[@]}")
    preprocess --only-source --srcdict "$DICTIONARY" --destdir "$PARTIAL/bin" --workers "$WORKERS" \
        --trainpref "$text/train" --validpref "$text/valid" --testpref "$text/test"
    [[ "$DRY_RUN" == 0 ]] || return 0
    if grep '% replaced' "$LOG" | grep -qv ', 0\.0% replaced'; then
        die "$DICTIONARY lacks ids of $OUT/bpe/encoder.json; take all files of a BPE from the same place"
    fi
    note "bin: dictionary of $(($(wc -l <"$PARTIAL/bin/dict.txt"))) types"
}

record_ids() {
    plugin record-text --folder "$OUT" --only-source --byte-bpe bpe ${UNK[@]+"${UNK[@]}"} --output "$PARTIAL/text.json"
}

parse_options "$@"
[[ -n "$CORPUS" ]] || die "which corpus? Give 2 or 103; see $PROGRAM --help" 2
[[ -z "$SIZE" || -z "$GPT2_BPE" ]] || die "--bpe learns a BPE and --gpt2-bpe takes one that is there; give one of them" 2
BPE="${SIZE:-$([[ "$CORPUS" == 2 ]] && echo 4096 || echo 50257)}"
[[ "$BPE" -ge 256 ]] || die "--bpe $BPE: a byte-level BPE has a symbol for each of the 256 bytes; give 256 or more" 2
[[ "$SMOKE" == 0 ]] || BPE=$((BPE < 300 ? BPE : 300))
[[ -n "$OUT" ]] || OUT="$ROOT/data/wikitext-$CORPUS"
if [[ -n "$GPT2_BPE" ]]; then
    for name in encoder.json vocab.bpe dict.txt; do
        [[ -f "$GPT2_BPE/$name" ]] ||
            die "no $name in $GPT2_BPE; --gpt2-bpe takes a folder with encoder.json, vocab.bpe and dict.txt"
    done
fi
if [[ -n "$FROM" ]]; then
    FROM="${FROM%/}"
    [[ -e "$FROM" ]] || die "--from $FROM does not exist; give the release's archive or the folder that holds it"
fi
use_python
prepare_start fairseq-preprocess gzip

FILES=()
ARCHIVE=""
TEXT=read_splits
FOLDERS=("$FROM" "$FROM/wikitext-$CORPUS-raw" "$FROM/wikitext-$CORPUS")
if [[ -f "$FROM" ]]; then
    ARCHIVE="$FROM"
elif [[ -n "$FROM" ]]; then
    find_splits "${FOLDERS[@]}" || archive_in "$FROM" ||
        die "not all three of wiki.{train,valid,test}.${LAYOUT:-raw}, ${LAYOUT:+or }$([[ -n "$LAYOUT" ]] || echo "wiki.{train,valid,test}.tokens or ")train.txt, valid.txt, test.txt (or .gz) in $FROM, nor $(archive_name "${LAYOUT:-raw}"); put them there or leave --from out to fetch them"
elif [[ "$SMOKE" == 1 ]]; then
    TEXT=toy_splits
else
    LAYOUT="${LAYOUT:-raw}"
    ARCHIVE="$OUT/download/$(archive_name "$LAYOUT")"
    fetch "$URL/${ARCHIVE##*/}" "$ARCHIVE" "$(archive_checksum "${ARCHIVE##*/}")"
fi
if [[ -n "$ARCHIVE" ]]; then
    stage unpack orig "" unpack "$ARCHIVE"
    if [[ "$DRY_RUN" == 1 ]]; then
        # What the archive holds is only known once it is unpacked.
        [[ -n "$LAYOUT" || "$ARCHIVE" == *-raw-* ]] || LAYOUT=tokens
        FILES=("$OUT/orig/wikitext-$CORPUS-raw/wiki."{train,valid,test}".${LAYOUT:-raw}")
    else
        find_splits "$OUT/orig" "$OUT/orig/wikitext-$CORPUS-raw" "$OUT/orig/wikitext-$CORPUS" ||
            die "$ARCHIVE does not hold wiki.{train,valid,test}.{raw,tokens} of WikiText-$CORPUS; give another"
    fi
fi
if [[ -z "$LAYOUT" ]]; then
    LAYOUT=raw
    if [[ -f "${FILES[0]:-}" ]] && grep -qF ' <unk> ' < <(gzip -dcf "${FILES[0]}" 2>/dev/null); then
        LAYOUT=tokens
        note "<unk> stands in ${FILES[0]}: taken as tokens (--layout raw takes it for text)"
    fi
fi
stage raw raw "smoke=$SMOKE" "$TEXT" ${FILES[@]+"${FILES[@]}"}

UNK=()
[[ "$LAYOUT" == raw ]] || UNK=(--unk)

if [[ -n "$GPT2_BPE" ]]; then
    DICTIONARY="$OUT/bpe/dict.txt"
    stage bpe bpe "taken" copy_bpe "$GPT2_BPE"/{encoder.json,vocab.bpe,dict.txt}
else
    DICTIONARY="$OUT/encoded/dict.txt"
    stage bpe bpe "$BPE $LAYOUT" learn_bpe "$OUT/raw/train.txt"
fi
stage encode encoded "$LAYOUT" encode "$OUT"/raw/{train,valid,test}.txt "$OUT"/bpe/{encoder.json,vocab.bpe}
stage binarise bin "" binarise_ids "$OUT"/encoded/{train,valid,test} "$DICTIONARY"
stage record text.json "$LAYOUT" record_ids "$OUT"/bpe/{encoder.json,vocab.bpe} "$OUT/bin/dict.txt"
[[ "$DRY_RUN" == 1 ]] || note "ready: fairseq-train $(printf '%q' "$OUT/bin") --task masked_lm ... (text for it: --bpe gpt2" \
    "$(printf -- '--gpt2-encoder-json %q --gpt2-vocab-bpe %q' "$OUT/bpe/encoder.json" "$OUT/bpe/vocab.bpe"))"
