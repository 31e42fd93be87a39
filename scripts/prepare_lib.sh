# shellcheck shell=bash
# Sourced by scripts/prepare_*.sh: options, downloads, and the guarded stages from raw text to bin/.
#
# A stage writes into $OUT/.partial, moves its result into place, and only then writes $OUT/.stamps/STAGE with a
# hash of its inputs and settings and the checksums of what it wrote. A stage whose stamp still holds is skipped,
# so a rerun goes on at the first stage that is unfinished, was damaged, or has other inputs or settings.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The options every prepare script shares. A script sets its own defaults before parse_options.
: "${FROM:=}" "${OUT:=}" "${URL:=}" "${BPE:=8000}" "${WORKERS:=1}" "${SOURCE:=de}" "${TARGET:=en}"
: "${MIN_TOKENS:=1}" "${MAX_TOKENS:=175}" "${RATIO:=1.5}"
: "${DROP_HELD_OUT:=0}" "${DISK:=auto}"
DRY_RUN=0 FORCE="" REPAIR="" DROP_EMPTY="" DROP_DUPLICATES=""
# What a script may set: sacremoses and its steps, or none; lower case; subword-nmt or sentencepiece; every how many-th
# cleaned pair becomes valid (0: none); the languages, and whether they change from run to run.
TOKENISER=sacremoses
TOKENISE=(normalize tokenize)
LOWERCASE="" SUBWORDS=subword-nmt VALID_EVERY=0 TITLES=""
LANGUAGES=(de en)
ANY_LANGUAGES=""
# TRAINING_PAIRS of the pairs in FILES come first and become the one set "train".
SETS=() FILES=() TEST_NAMES=() TRAINING_PAIRS=1
CHILDREN=()
CREATED_OUT="" OWN_OUT=""

# shellcheck disable=SC2034
SHARED_OPTIONS=(
    --from=FROM:filled --out=OUT:filled --url=URL:filled:folder --bpe=BPE:filled --workers=WORKERS:filled
    --source-lang=SOURCE:filled --target-lang=TARGET:filled --min-tokens=MIN_TOKENS:filled --max-tokens=MAX_TOKENS:filled
    --ratio=RATIO:filled --drop-held-out=DROP_HELD_OUT:filled --disk=DISK:filled --drop-duplicates=DROP_DUPLICATES:1
    --drop-empty=DROP_EMPTY:1 --repair=REPAIR:1 --dry-run=DRY_RUN:1 --force=FORCE:1
)
unknown_option() { die "unknown option or argument '$1'; see $PROGRAM --help" 2; }

# Checks of values, and of options that a script has no use for.
from_1() { [[ "$2" =~ ^[1-9][0-9]{0,8}$ ]] || die "$1 takes a whole number from 1, not '$2'" 2; }
sha256_sum() { [[ "$2" =~ ^[0-9a-f]{64}$ ]] || die "--sha256 takes 64 lower-case hexadecimal digits, not '$2'" 2; }
meaningless() { die "$1 has no meaning here${MEANINGLESS:-; see $PROGRAM --help}" 2; }

# refuse OPTION...: options of the other scripts that have no meaning here, MEANINGLESS says why.
refuse() { OPTIONS+=("${@/%/=:meaningless}"); }

# settle_options: a script's own defaults that depend on its options, before they are checked.
settle_options() { :; }

# fairseq and the scripts take '-' and '.' in a file's name as ends of the language's.
language() { [[ "$2" =~ ^[A-Za-z]{2,}[A-Za-z0-9_]*$ ]] || die "$1 takes a language's letters, such as fr or pt_br, not '$2'" 2; }

# any_languages: SOURCE and TARGET may be any two, in one order for both directions, so that the other direction needs
# another bin/ alone.
any_languages() {
    [[ "$SOURCE" != "$TARGET" ]] || die "--source-lang and --target-lang are both $SOURCE; a pair has two languages" 2
    ANY_LANGUAGES=1
    LANGUAGES=("$SOURCE" "$TARGET")
    [[ "$SOURCE" < "$TARGET" ]] || LANGUAGES=("$TARGET" "$SOURCE")
}

parse_options() {
    read_options "$@"
    settle_options
    local name
    for name in BPE WORKERS MIN_TOKENS MAX_TOKENS; do
        from_1 "$(option_name "$name")" "${!name}"
    done
    [[ "$RATIO" =~ ^[1-9][0-9]*([.][0-9]+)?$ ]] || die "--ratio takes a number from 1, not '$RATIO'" 2
    [[ "$DROP_HELD_OUT" =~ ^[0-9]{1,4}$ ]] || die "--drop-held-out takes a number of tokens (0: drop none), not '$DROP_HELD_OUT'" 2
    [[ "$DISK" =~ ^(auto|[0-9]{1,6})$ ]] || die "--disk takes a number of gigabytes (0: no check), not '$DISK'" 2
    [[ "$SOURCE $TARGET" == "${LANGUAGES[0]} ${LANGUAGES[1]}" || "$SOURCE $TARGET" == "${LANGUAGES[1]} ${LANGUAGES[0]}" ]] ||
        die "--source-lang and --target-lang must be ${LANGUAGES[0]} and ${LANGUAGES[1]}, in either order, not '$SOURCE' and '$TARGET'" 2
    [[ "$MIN_TOKENS" -le "$MAX_TOKENS" ]] || die "--min-tokens $MIN_TOKENS is more than --max-tokens $MAX_TOKENS" 2
}

option_name() {
    local lower
    lower="$(tr 'A-Z_' 'a-z-' <<<"$1")"
    printf -- '--%s' "$lower"
}

# ------------------------------------------------------------------ running commands

show() {
    local word line=""
    for word in "$@"; do
        case "$word" in
        '<' | '>' | '|') line+=" $word" ;;
        *) printf -v word '%q' "$word" && line+=" $word" ;;
        esac
    done
    printf '+%s\n' "$line"
}

# run COMMAND...: print it under --dry-run, else run it so that an interrupt ends it at once.
run() {
    if [[ "$DRY_RUN" == 1 ]]; then
        show "$@"
    else
        spawn "$@"
        await "$1"
    fi
}

# spawn COMMAND...: start it in a process group of its own, so that cleaning up reaches its workers too.
spawn() {
    set -m
    "$@" </dev/null &
    CHILDREN+=("$!")
    set +m
}

# await WHAT: wait for all that was spawned; die if one failed.
await() {
    local child status=0 failed=0
    for child in "${CHILDREN[@]}"; do
        wait "$child" || { status=$? && failed=$status; }
    done
    CHILDREN=()
    [[ "$failed" -eq 0 ]] || stop_stage "$1" "$failed"
}

stop_stage() {
    local full
    if [[ -s "$LOG" ]]; then
        tr '\r' '\n' <"$LOG" | tail -n 20 >&2
    fi
    # A disk with so little left is the cause, or will be of the next failure.
    if full="$(full_disk 1 "$OUT" "${TMPDIR:-/tmp}")"; then
        die "the stage '${STAGE:-set-up}' stopped because the disk of $full is full; free some space and run the same command again"
    fi
    die "the stage '${STAGE:-set-up}' stopped: ${1##*/} failed with status $2 (its messages are above); solve that and run the same command again"
}

redirected() {
    local in="$1" out="$2"
    shift 2
    "$@" <"$in" >"$out" 2>>"$LOG"
}

# Tools that hold their whole input in memory get at most so many lines at once.
PART_LINES=200000

# filter INPUT OUTPUT COMMAND...: COMMAND works line by line, so a long file goes through it in parts, WORKERS at a time.
filter() {
    local in="$1" out="$2" total size part parts batch first
    shift 2
    if [[ "$DRY_RUN" == 1 ]]; then
        show "$@" '<' "$in" '>' "$out"
        return
    fi
    total="$(wc -l <"$in")"
    size=$(((total + WORKERS - 1) / WORKERS))
    [[ "$total" -ge 2000 ]] || size=$((total))
    [[ "$size" -le "$PART_LINES" ]] || size="$PART_LINES"
    if [[ "$size" -eq "$total" ]]; then
        spawn redirected "$in" "$out" "$@"
        await "$1"
    else
        split -l "$size" -a 4 "$in" "$out.in."
        parts=("$out".in.*)
        : >"$out"
        for ((first = 0; first < ${#parts[@]}; first += WORKERS)); do
            batch=("${parts[@]:first:WORKERS}")
            for part in "${batch[@]}"; do
                spawn redirected "$part" "$part.out" "$@"
            done
            await "$1"
            for part in "${batch[@]}"; do
                cat "$part.out" >>"$out"
                rm "$part" "$part.out"
            done
        done
    fi
    [[ "$(wc -l <"$out")" -eq "$total" ]] ||
        die "$1 turned $((total)) lines of $in into $(($(wc -l <"$out"))); check that its version is the one scripts/setup.sh installs"
}

# plugin COMMAND...: run fairseq-plugins COMMAND.
plugin() {
    if [[ "$DRY_RUN" == 1 ]]; then
        show fairseq-plugins "$@"
    else
        spawn fairseq-plugins "$@"
        await "fairseq-plugins $1"
    fi
}

# fairseq-plugins WORD...: that of the chosen Python.
fairseq-plugins() { "$PYTHON" -m fairseq_plugins.cli "$@"; }

# ------------------------------------------------------------------ start and end

prepare_start() {
    local tool
    [[ "$OUT" != *[,:]* ]] || die "--out $OUT has a ',' or ':' in its name, where fairseq splits paths; choose another" 2
    for tool in "$@" split tail sort; do
        command -v "$tool" >/dev/null || die "$tool was not found on PATH; run: bash scripts/setup.sh"
    done
    command -v sha256sum >/dev/null || command -v shasum >/dev/null || die "neither sha256sum nor shasum was found; install coreutils"
    LOG=/dev/null
    [[ "$DRY_RUN" == 0 ]] || return 0
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    if [[ ! -d "$OUT" ]]; then
        [[ ! -e "$OUT" ]] || die "$OUT is a file; give --out a folder"
        mkdir -p "$OUT" || die "cannot make the folder $OUT; check the path and its permissions"
        CREATED_OUT=1
    fi
    [[ -w "$OUT" ]] || die "cannot write in $OUT; check its permissions or choose another --out"
    OUT="$(cd "$OUT" && pwd)"
    # The folder itself is the lock: it leaves nothing behind, and the system frees it whatever way a run ends.
    if command -v flock >/dev/null; then
        exec 9<"$OUT"
        if ! flock -n 9; then
            note "another run is at work in $OUT; waiting for it (up to 10 minutes)"
            flock -w 600 9 || die "another run is still at work in $OUT; wait for it or choose another --out"
        fi
    fi
    OWN_OUT=1
    rm -rf "$OUT/.partial"
    mkdir -p "$OUT/.partial" "$OUT/.stamps"
    LOG="$OUT/.partial/log"
    : >"$LOG"
    if [[ -n "$FORCE" ]]; then
        rm -f "$OUT"/.stamps/*
    fi
}

finish() {
    local status=$? child
    trap '' INT TERM HUP
    for child in "${CHILDREN[@]+"${CHILDREN[@]}"}"; do
        kill -TERM -- "-$child" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if [[ -n "$OWN_OUT" ]]; then
        rm -rf "$OUT/.partial"
        rmdir "$OUT/.stamps" "$OUT/download" 2>/dev/null || true
    fi
    if [[ -n "$CREATED_OUT" ]]; then
        rmdir "$OUT" 2>/dev/null || true
    fi
    exit "$status"
}

# ------------------------------------------------------------------ guarded stages

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

md5() { if command -v md5sum >/dev/null; then md5sum <"$1" | cut -d ' ' -f 1; else command md5 -q "$1"; fi; }

# contents FILE...: the checksums of the files, without their names: a moved folder stays valid.
contents() { sha256 "$@" | cut -d ' ' -f 1; }

# listing TARGET: checksums and names of all files of a stage's output, relative to $OUT.
listing() (
    local files
    cd "$OUT" || exit
    mapfile -t files < <(find "$1" -type f | LC_ALL=C sort)
    [[ "${#files[@]}" -eq 0 ]] || sha256 "${files[@]}"
)

# stage NAME TARGET SETTINGS FUNCTION [INPUT...]: make $OUT/TARGET by FUNCTION, which writes $PARTIAL/TARGET.
stage() {
    local name="$1" target="$2" settings="$3" function="$4" key stamp began=$SECONDS
    shift 4
    STAGE="$name"
    PARTIAL="$OUT/.partial"
    if [[ "$DRY_RUN" == 1 ]]; then
        printf '# stage %s\n' "$name"
        show mkdir -p "$PARTIAL"
        "$function"
        show mv "$PARTIAL/$target" "$OUT/$target"
        return
    fi
    stamp="$OUT/.stamps/$name"
    key="$({ printf '%s\n' "$name" "$settings" && if [[ $# -gt 0 ]]; then contents "$@"; fi; } | sha256 | cut -d ' ' -f 1)"
    if [[ -s "$stamp" && -e "$OUT/$target" ]] && { printf '%s\n' "$key" && listing "$target"; } | cmp -s - "$stamp"; then
        note "$name: up to date ($OUT/$target)"
        return
    fi
    note "$name: start"
    "$function"
    # Up to here a failure leaves the earlier result valid; from here to the new stamp there is none.
    rm -f "$stamp"
    if [[ -e "$OUT/$target" ]]; then
        mv "$OUT/$target" "$PARTIAL/$target.old"
    fi
    mv "$PARTIAL/$target" "$OUT/$target"
    rm -rf "$PARTIAL/$target.old"
    { printf '%s\n' "$key" && listing "$target"; } >"$PARTIAL/stamp"
    mv "$PARTIAL/stamp" "$stamp"
    note "$name: done in $((SECONDS - began)) s ($OUT/$target)"
}

# need_disk GIGABYTES: stop before anything is fetched or written if there is no room for it; --disk overrides.
need_disk() {
    local need="$1" folder="$OUT" have used=0
    [[ "$DISK" == auto ]] || need="$DISK"
    [[ "$need" -gt 0 ]] || return 0
    if [[ "$DRY_RUN" == 1 ]]; then
        printf '# needs %s GB in %s\n' "$need" "$OUT"
        return
    fi
    [[ ! -d "$folder" ]] || used="$(du -sk "$folder" | cut -f 1)"
    while [[ ! -d "$folder" ]]; do folder="$(dirname "$folder")"; done
    have="$(df -Pk "$folder" | awk 'NR == 2 {print $4}')"
    # What an earlier run made already is there.
    [[ $((have + used)) -ge $((need * 1000000)) ]] ||
        die "$OUT needs about $need GB, but only $((have / 1000000)) GB are free there; choose another disk with --out, or --disk 0 to try all the same"
}

make_dir() {
    if [[ "$DRY_RUN" == 1 ]]; then show mkdir -p "$1"; else mkdir -p "$1"; fi
}

# in_text SET: whether a set has a text of its own, and is not split off the cleaned training text.
in_text() { [[ "$1" != valid || "$VALID_EVERY" == 0 ]]; }

# read_pairs: read the pairs in FILES (training text first) as the sets SETS into $PARTIAL/raw after strict checks.
read_pairs() {
    local arguments=(read-corpus --parallel --training "$TRAINING_PAIRS") outputs=() set language
    [[ "$TRAINING_PAIRS" -eq 1 ]] || arguments+=(--join)
    [[ -z "$TITLES" ]] || arguments+=(--titles)
    [[ -z "$REPAIR" ]] || arguments+=(--repair)
    [[ -z "$DROP_EMPTY" ]] || arguments+=(--drop-empty)
    make_dir "$PARTIAL/raw"
    for set in "${SETS[@]}"; do
        for language in "${LANGUAGES[@]}"; do
            outputs+=("$PARTIAL/raw/$set.$language")
        done
    done
    plugin "${arguments[@]}" "${FILES[@]}" --output "${outputs[@]}"
    [[ "$DRY_RUN" == 1 ]] || printf '%s\n' "${TEST_NAMES[@]}" >"$PARTIAL/raw/test.names"
}

tokenise_all() {
    local set language tok
    make_dir "$PARTIAL/tok"
    for set in "${SETS[@]}"; do
        in_text "$set" || continue
        for language in "${LANGUAGES[@]}"; do
            tok="$PARTIAL/tok/$set.$language"
            if [[ "$TOKENISER" == none ]]; then
                filter "$OUT/raw/$set.$language" "$tok" fairseq-plugins single-blanks
            else
                filter "$OUT/raw/$set.$language" "$tok" sacremoses -q -l "$language" "${TOKENISE[@]}"
            fi
            [[ -n "$LOWERCASE" ]] || continue
            filter "$tok" "$tok.lower" fairseq-plugins lowercase
            run mv "$tok.lower" "$tok"
        done
    done
}

clean_training() {
    local arguments=() set
    make_dir "$PARTIAL/clean"
    for set in "${SETS[@]:1}"; do
        ! in_text "$set" || arguments+=(--held-out "$set" "$OUT/tok/$set.${LANGUAGES[0]}" "$OUT/tok/$set.${LANGUAGES[1]}")
    done
    [[ "$DROP_HELD_OUT" -eq 0 ]] || arguments+=(--drop-held-out "$DROP_HELD_OUT")
    [[ -z "$DROP_DUPLICATES" ]] || arguments+=(--drop-duplicates)
    [[ "$VALID_EVERY" -eq 0 ]] ||
        arguments+=(--split "$VALID_EVERY" "$PARTIAL/clean/valid.${LANGUAGES[0]}" "$PARTIAL/clean/valid.${LANGUAGES[1]}")
    plugin clean-corpus "$OUT/tok/train.${LANGUAGES[0]}" "$OUT/tok/train.${LANGUAGES[1]}" \
        --output "$PARTIAL/clean/train.${LANGUAGES[0]}" "$PARTIAL/clean/train.${LANGUAGES[1]}" \
        --report "$PARTIAL/clean/report.txt" --min "$MIN_TOKENS" --max "$MAX_TOKENS" --ratio "$RATIO" "${arguments[@]}"
}

learn_codes() {
    if [[ "$DRY_RUN" == 1 ]]; then
        show cat "${CLEANED[@]}" '|' subword-nmt learn-bpe -s "$BPE" '>' "$PARTIAL/bpe.codes"
        return
    fi
    cat "${CLEANED[@]}" >"$PARTIAL/both"
    spawn redirected "$PARTIAL/both" "$PARTIAL/bpe.codes" subword-nmt learn-bpe -s "$BPE"
    await subword-nmt
    rm "$PARTIAL/both"
    note "codes: $(($(wc -l <"$PARTIAL/bpe.codes") - 1)) merges"
}

learn_pieces() { plugin learn-sentencepiece "${CLEANED[@]}" --size "$BPE" --output "$PARTIAL/spm.model"; }

apply_codes() {
    local set language from apply=(subword-nmt apply-bpe -c "$OUT/bpe.codes")
    [[ "$SUBWORDS" == subword-nmt ]] || apply=(fairseq-plugins apply-sentencepiece --model "$OUT/spm.model")
    make_dir "$PARTIAL/bpe"
    for set in "${SETS[@]}"; do
        from=tok
        if [[ "$set" == train ]] || ! in_text "$set"; then from=clean; fi
        for language in "${LANGUAGES[@]}"; do
            filter "$OUT/$from/$set.$language" "$PARTIAL/bpe/$set.$language" "${apply[@]}"
        done
    done
}

# record_text: what raw text went through, for other programs to repeat it.
record_text() {
    local steps=()
    if [[ "$TOKENISER" == none ]]; then steps=(--single-blanks); else steps=(--sacremoses "${TOKENISE[@]}"); fi
    [[ -z "$LOWERCASE" ]] || steps+=(--lowercase)
    if [[ "$SUBWORDS" == subword-nmt ]]; then steps+=(--subword-nmt bpe.codes); else steps+=(--sentencepiece spm.model); fi
    plugin record-text --folder "$OUT" --source-lang "$SOURCE" --target-lang "$TARGET" "${steps[@]}" \
        --output "$PARTIAL/text.json"
}

# preprocess OPTION...: fairseq-preprocess to $PARTIAL/bin, where all of INDICES must be then.
preprocess() {
    local index
    if [[ "$DRY_RUN" == 1 ]]; then
        show fairseq-preprocess "$@"
        return
    fi
    spawn redirected /dev/null "$PARTIAL/preprocess.out" fairseq-preprocess "$@"
    await fairseq-preprocess
    # Its log names the temporary folder and adds nothing to what a script tells.
    rm -f "$PARTIAL/bin/preprocess.log"
    for index in "${INDICES[@]}"; do
        [[ -s "$PARTIAL/bin/$index.idx" ]] || stop_stage fairseq-preprocess 0
    done
}

# preprocess_pairs FOLDER OPTION...: both sides of all SETS in $OUT/FOLDER, with one dictionary.
preprocess_pairs() {
    local tests="" set text="$OUT/$1"
    INDICES=()
    for set in "${SETS[@]:2}"; do tests+=",$text/$set"; done
    for set in "${SETS[@]}"; do INDICES+=("$set.$SOURCE-$TARGET.$SOURCE" "$set.$SOURCE-$TARGET.$TARGET"); done
    preprocess --source-lang "$SOURCE" --target-lang "$TARGET" "${@:2}" --joined-dictionary \
        --trainpref "$text/train" --validpref "$text/valid" --testpref "${tests:1}" \
        --destdir "$PARTIAL/bin" --workers "$WORKERS"
}

binarise() {
    preprocess_pairs bpe
    [[ "$DRY_RUN" == 1 ]] ||
        note "bin: joined dictionary of $(($(wc -l <"$PARTIAL/bin/dict.$SOURCE.txt"))) types, $SOURCE-$TARGET"
}

# text_stages: raw/ to bin/ and the record of it. SETS holds the names of all sets: train, valid, test, test1 ...
text_stages() {
    local set language raw=() tok=() bpe=() cleaning="$MIN_TOKENS $MAX_TOKENS $RATIO $DROP_DUPLICATES" of="" codes=bpe.codes
    for set in "${SETS[@]}"; do
        for language in "${LANGUAGES[@]}"; do
            bpe+=("$OUT/bpe/$set.$language")
            in_text "$set" || continue
            raw+=("$OUT/raw/$set.$language")
            tok+=("$OUT/tok/$set.$language")
        done
    done
    CLEANED=("$OUT/clean/train.${LANGUAGES[0]}" "$OUT/clean/train.${LANGUAGES[1]}")
    [[ "$DROP_HELD_OUT" -eq 0 ]] || cleaning+=" held-out=$DROP_HELD_OUT"
    [[ "$VALID_EVERY" -eq 0 ]] || cleaning+=" valid=$VALID_EVERY"
    # The same text under other names is another result.
    [[ -z "$ANY_LANGUAGES" ]] || of=" of ${LANGUAGES[*]}"
    if [[ "$TOKENISER" == none ]]; then TOKENISE=(); fi
    stage tokenise tok "$TOKENISER ${TOKENISE[*]}${LOWERCASE:+ lower}$of" tokenise_all "${raw[@]}"
    stage clean clean "$cleaning$of" clean_training "${tok[@]}"
    if [[ "$SUBWORDS" == subword-nmt ]]; then
        stage codes bpe.codes "joint $BPE" learn_codes "${CLEANED[@]}"
    else
        codes=spm.model
        stage codes spm.model "sentencepiece $BPE" learn_pieces "${CLEANED[@]}"
    fi
    stage bpe bpe "no vocabulary threshold$of" apply_codes "$OUT/$codes" "${CLEANED[@]}" "${tok[@]}"
    stage binarise bin "joined $SOURCE-$TARGET" binarise "${bpe[@]}"
    stage record text.json "$TOKENISER ${TOKENISE[*]}${LOWERCASE:+ lower} $SOURCE-$TARGET" record_text "$OUT/$codes" \
        "$OUT"/bin/dict.{"$SOURCE","$TARGET"}.txt
    [[ "$DRY_RUN" == 1 ]] || note "ready: fairseq-train $(printf '%q ... (reference for sacreBLEU: %q)' "$OUT/bin" "$OUT/raw/test.$TARGET")"
}

# ------------------------------------------------------------------ finding and fetching files

# find_file NAME FOLDER...: the first of FOLDER/NAME and FOLDER/NAME.gz that exists, in FOUND.
find_file() {
    local name="$1" folder
    shift
    for folder in "$@"; do
        for FOUND in "$folder/$name" "$folder/$name.gz"; do
            [[ ! -f "$FOUND" ]] || return 0
        done
    done
    FOUND=""
    return 1
}

# plain_sha256 FILE [NAME]: the checksum of the uncompressed content; NAME tells whether FILE is compressed.
plain_sha256() {
    local sum
    case "${2:-$1}" in
    # Only of a file that unpacks to its end: one that lacks its last bytes can still yield all of the text.
    *.gz) sum="$(gzip -dc "$1" 2>/dev/null | contents)" && printf '%s\n' "$sum" ;;
    *) contents "$1" ;;
    esac
}

# differs_from_published FILE...: how many files are not the published ones, by checksum NAME of the script.
differs_from_published() {
    local file name expected count=0
    for file in "$@"; do
        name="${file##*/}"
        expected="$(checksum "${name%.gz}")"
        [[ -z "$expected" || "$(plain_sha256 "$file" || true)" == "$expected" ]] || count=$((count + 1))
    done
    printf '%s\n' "$count"
}

# checksum_of FILE NAME EXPECTED: the checksum in the kind of EXPECTED: md5:HEX of the file, or SHA-256 of the content.
checksum_of() {
    case "$3" in
    md5:*) printf 'md5:%s\n' "$(md5 "$1")" ;;
    *) plain_sha256 "$1" "$2" || true ;;
    esac
}

# fetch URL FILE CHECKSUM: download and check; an unfinished download stays as FILE.part and is taken up again.
fetch() {
    obtain "$@"
    [[ -z "$REASON" ]] || die "$REASON"
}

# fetch_first FOLDER NAME CHECKSUM URL [NAME CHECKSUM URL]...: from the first source that works, as FOLDER/NAME in FETCHED.
fetch_first() {
    local folder="$1" sources=("${@:2}") i
    # A file that is there and right comes before any that must be fetched.
    for ((i = 0; i < ${#sources[@]} && DRY_RUN == 0; i += 3)); do
        FETCHED="$folder/${sources[i]}"
        [[ ! -f "$FETCHED" || "$(checksum_of "$FETCHED" "$FETCHED" "${sources[i + 1]}")" != "${sources[i + 1]}" ]] || return 0
    done
    for ((i = 0; i < ${#sources[@]}; i += 3)); do
        FETCHED="$folder/${sources[i]}"
        obtain "${sources[i + 2]}" "$FETCHED" "${sources[i + 1]}"
        [[ -n "$REASON" ]] || return 0
        [[ $((i + 3)) -ge ${#sources[@]} ]] || note "$REASON; trying the mirror"
    done
    die "$REASON"
}

# obtain URL FILE CHECKSUM: what fetch does, but a failure is told in REASON. Without CHECKSUM that of FILE.sha256 counts.
obtain() {
    local url="$1" file="$2" expected="$3" found="" resumed status said
    REASON=""
    [[ -n "$expected" || ! -s "$file.sha256" ]] || expected="$(cut -d ' ' -f 1 "$file.sha256")"
    if [[ "$DRY_RUN" == 1 ]]; then
        show mkdir -p "$(dirname "$file")"
        show curl -fL --retry 3 -C - -o "$file.part" "$url"
        [[ -z "$expected" ]] || printf '# expects %s (SHA-256 of the uncompressed content, or md5 of the file)\n' "$expected"
        show mv "$file.part" "$file"
        return
    fi
    if [[ -f "$file" ]]; then
        [[ -n "$expected" && "$(checksum_of "$file" "$file" "$expected")" != "$expected" ]] || return 0
        note "$file is not the published file (any more); fetching it again"
    fi
    command -v curl >/dev/null || die "curl was not found; install it, or fetch $url by hand and pass its folder with --from"
    mkdir -p "$(dirname "$file")"
    while :; do
        resumed=0 status=0
        [[ ! -s "$file.part" ]] || resumed=1
        note "fetching $url"
        spawn curl -fsSL --stderr "$OUT/.partial/curl" --connect-timeout 30 --retry 3 --retry-delay 2 -C - -o "$file.part" "$url"
        wait "${CHILDREN[0]}" || status=$?
        CHILDREN=()
        said="$(tail -n 1 "$OUT/.partial/curl" 2>/dev/null || true)"
        # Resuming a part that is complete, or that the server cannot resume, fails with 22, 33 or 36.
        if [[ "$status" -ne 0 && ! ("$resumed" -eq 1 && "$status" =~ ^(22|33|36)$) ]]; then
            REASON="cannot fetch $url$(proxies): ${said:-curl ended with status $status}; check the network and its proxy and run the same command again (it resumes), or fetch it by hand and pass its folder with --from"
            return
        fi
        found="$(checksum_of "$file.part" "$file" "$expected")"
        # Nothing is published of it: then it must at least be complete.
        [[ -n "$expected" ]] || ! gzip -t "$file.part" 2>/dev/null || expected="$found"
        if [[ -n "$expected" && "$found" == "$expected" ]]; then
            mv "$file.part" "$file"
            return
        fi
        rm -f "$file.part"
        [[ "$resumed" -eq 1 ]] || break
        note "the part that an earlier run left does not fit; starting again"
    done
    REASON="$url has the checksum ${found:-of a damaged file} but $expected was expected; it was discarded: give another source with --url, or fetch it by hand and pass its folder with --from"
    [[ -n "$expected" ]] || REASON="$url gave a damaged file; it was discarded: run the same command again, or fetch it by hand and pass its folder with --from"
}

# check_archive ARCHIVE RECORD [SHA256]: against SHA256 if given, else against RECORD, else write RECORD.
check_archive() {
    local found expected="${3:-}" origin="--sha256"
    found="$(contents "$1")"
    if [[ -z "$expected" && -s "$2" ]]; then
        expected="$(cut -d ' ' -f 1 "$2")"
        origin="$2, written when it was first fetched,"
    fi
    if [[ -z "$expected" ]]; then
        note "SHA-256 of $1: $found (recorded in $2; later runs insist on it)"
        printf '%s  %s\n' "$found" "${1##*/}" >"$2.part"
        mv "$2.part" "$2"
    elif [[ "$found" != "$expected" ]]; then
        die "$1 has SHA-256 $found but $origin says $expected; fetch it again, or remove the record if the release has changed"
    fi
}

# ------------------------------------------------------------------ releases of IWSLT

# find_release ARCHIVE...: the archive of that name that --from gives or holds, in ARCHIVE; none where its files lie.
find_release() {
    local name
    ARCHIVE=""
    [[ -n "$FROM" ]] || return 0
    [[ -e "$FROM" ]] || die "--from $FROM does not exist; give the release's archive or the folder that holds it"
    if [[ -f "$FROM" ]]; then
        ARCHIVE="$FROM"
    elif ! find_file train.tags.en-de.de "$FROM" "$FROM/en-de" && ! find_file train.tags.de-en.de "$FROM" "$FROM/de-en"; then
        for name in "$@"; do
            [[ ! -f "$FROM/$name" ]] || ARCHIVE="${ARCHIVE:-$FROM/$name}"
        done
    fi
}

# find_pair LABEL BEFORE AFTER FOLDER...: both sides of one set, under one of the two namings, appended to FILES.
find_pair() {
    local label="$1" before="$2" after="$3" direction
    shift 3
    for direction in en-de de-en; do
        if find_file "$before.$direction.de$after" "$@"; then
            FILES+=("$FOUND")
            find_file "$before.$direction.en$after" "$@" ||
                die "$before.$direction.de$after is there but $before.$direction.en$after is missing in $1; both sides are needed"
            FILES+=("$FOUND")
            return
        fi
    done
    die "no $before.{en-de,de-en}.{de,en}$after (or .gz) in $1, needed for $label; get the full release${TESTS:+, or choose sets with --tests}"
}

# open_release NAME CHECKSUM: fetch the archive if --from gives none, check and unpack it; FOLDERS is where its files lie.
open_release() {
    if [[ -z "$FROM" ]]; then
        ARCHIVE="$OUT/download/$1"
        fetch "$URL/$1" "$ARCHIVE" "$2"
        [[ "$DRY_RUN" == 1 ]] || check_archive "$ARCHIVE" "$ARCHIVE.sha256" "$SHA256"
    elif [[ -n "$ARCHIVE" && -n "$SHA256" ]]; then
        check_archive "$ARCHIVE" /dev/null "$SHA256"
    fi
    [[ -n "$ARCHIVE" ]] || return 0
    stage unpack orig "" unpack_release "$ARCHIVE"
    FOLDERS=("$OUT/orig")
}

# only_in_archive: whether the files are known only once the archive is unpacked, which a dry run does not do.
only_in_archive() { [[ "$DRY_RUN" == 1 && -n "$ARCHIVE" ]]; }

# find_texts PREFIX DIRECTION SET...: both sides of the training text and of PREFIX.SET, in FILES.
find_texts() {
    local prefix="$1" direction="$2" set
    shift 2
    FILES=()
    if only_in_archive; then
        FILES=("$OUT/orig/train.tags.$direction".{de,en})
        for set in "$@"; do FILES+=("$OUT/orig/$prefix.$set.$direction".{de,en}.xml); done
        return
    fi
    find_pair "the training text" train.tags "" "${FOLDERS[@]}"
    for set in "$@"; do find_pair "$set" "$prefix.$set" .xml "${FOLDERS[@]}"; done
}

# unpack_release: the training files and those of development and test sets of ARCHIVE into $PARTIAL/orig.
unpack_release() {
    make_dir "$PARTIAL/orig"
    run tar -xzf "$ARCHIVE" -C "$PARTIAL/orig"
    [[ "$DRY_RUN" == 0 ]] || return 0
    # The archive holds one folder, en-de/ or de-en/; only its plain files of the known layouts are kept.
    mkdir "$PARTIAL/unpacked"
    find "$PARTIAL/orig" -type f \( -name 'train.tags.*' -o -name 'IWSLT1[47].TED*.xml' \) -exec mv {} "$PARTIAL/unpacked/" \;
    rm -rf "$PARTIAL/orig"
    mv "$PARTIAL/unpacked" "$PARTIAL/orig"
}
