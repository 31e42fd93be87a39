#!/usr/bin/env bash
# Prepare parallel text of any two languages for fairseq.
#
# usage: bash scripts/prepare_parallel.sh --from PATH --source-lang L --target-lang L [options]
#
#   --from PATH         plain text, a sentence a line, also gzipped: a folder with both sides of train, and perhaps of
#                       valid, test, test1, test2 ... (train.fr, train.en.gz ...); or what the names of two files begin
#                       with: DIR/corpus for DIR/corpus.fr and DIR/corpus.en
#   --source-lang L, --target-lang L    the endings of the files, and direction of bin/
#   --out DIR           where to write (default: data/parallel-SOURCE-TARGET)
#   --valid N, --test N    pairs to cut from the training text where there is no valid or test (default: 1000 each)
#   --seed N            another one cuts other pairs (default: 1)
#   --tokeniser T       sacremoses (default), which is told the language; or none, for languages written without spaces:
#                       the text is cut into pieces as it is
#   --lowercase         everything in lower case
#   --subwords S        subword-nmt (default) or sentencepiece, which needs pip install 'fairseq_plugins[huggingface]'
#   --bpe N             joint BPE merges, or SentencePiece's pieces for both languages together (default: 8000)
#   --max-tokens N, --min-tokens N, --ratio R    cleaning of the training text, by what the tokeniser makes of it
#                       (default: 175, 1, 1.5; with --tokeniser none no ratio counts)
#   --drop-held-out N   drop training pairs of which a side of at least N tokens stands in valid or a test set (default:
#                       1; 0 drops none); clean/report.txt counts them
#   --drop-duplicates   drop repeated training pairs
#   --drop-empty        drop training pairs with an empty side instead of stopping there
#   --repair            put a blank for control and line-separator characters instead of stopping there
#   --workers N         processes (default: 1); the result does not depend on it
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# Result: raw/, tok/, clean/, bpe.codes (or spm.model), bpe/ and bin/, as scripts/prepare_multi30k.sh --help describes,
# and text.json. Which pairs are cut depends on seed and text, not on the order of the lines, and no sentence of theirs
# is left in the training text. Stages that are done are skipped; after an interruption run the same command again.
#
# examples:
#   bash scripts/prepare_parallel.sh --from ~/news --source-lang fr --target-lang en --workers 4
#   bash scripts/prepare_parallel.sh --from ~/opus/Books.en-fi --source-lang fi --target-lang en --valid 500 --test 2000
#   bash scripts/prepare_parallel.sh --from ~/kftt --source-lang ja --target-lang en --tokeniser none \
#       --subwords sentencepiece --bpe 16000

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

SOURCE="" TARGET="" RATIO=""
VALID="" TEST="" SEED=1
DROP_HELD_OUT=1

OPTIONS=(
    --source-lang=SOURCE:language --target-lang=TARGET:language --valid=VALID:from_1 --test=TEST:from_1 --seed=SEED:number
    --tokeniser=TOKENISER:tokeniser --subwords=SUBWORDS:subwords --lowercase=LOWERCASE:1
)
MEANINGLESS=": nothing is fetched"
refuse --url --disk
tokeniser() { [[ "$2" == sacremoses || "$2" == none ]] || die "--tokeniser takes sacremoses or none, not '$2'" 2; }
subwords() { [[ "$2" == subword-nmt || "$2" == sentencepiece ]] || die "--subwords takes subword-nmt or sentencepiece, not '$2'" 2; }

settle_options() {
    [[ -n "$FROM" ]] || die "which text? Give --from, a folder with both sides of train; see $PROGRAM --help" 2
    [[ -n "$SOURCE" && -n "$TARGET" ]] || die "which languages? Give --source-lang and --target-lang; see $PROGRAM --help" 2
    any_languages
    : "${OUT:="$ROOT/data/parallel-$SOURCE-$TARGET"}"
    # Between 1 and --max-tokens every ratio is allowed.
    if [[ "$TOKENISER" == none ]]; then : "${RATIO:=$MAX_TOKENS}"; else : "${RATIO:=1.5}"; fi
}

# find_text SET FOLDER NAME: both sides of FOLDER/NAME appended to FILES, and SET to FOUND_SETS; status 1 without any.
find_text() {
    local set="$1" folder="$2" name="$3" language sides=()
    for language in "${LANGUAGES[@]}"; do
        ! find_file "$name.$language" "$folder" || sides+=("$FOUND")
    done
    [[ "${#sides[@]}" -gt 0 ]] || return 1
    [[ "${#sides[@]}" -eq 2 ]] ||
        die "${sides[0]} is there but its other side is missing; both $name.${LANGUAGES[0]} and $name.${LANGUAGES[1]} (or .gz) are needed"
    FOUND_SETS+=("$set")
    FILES+=("${sides[@]}")
}

# read_and_cut: the sets that are there, and from the training text those that are not.
read_and_cut() {
    local SETS=("${FOUND_SETS[@]}") cut=("${CUT[@]}") i set
    read_pairs
    [[ "${#cut[@]}" -gt 0 ]] || return 0
    local arguments=()
    for ((i = 0; i < ${#cut[@]}; i += 2)); do
        set="$PARTIAL/raw/${cut[i]}"
        arguments+=(--set "${cut[i + 1]}" "$set.${LANGUAGES[0]}" "$set.${LANGUAGES[1]}")
    done
    plugin hold-out "$PARTIAL/raw/train.${LANGUAGES[0]}" "$PARTIAL/raw/train.${LANGUAGES[1]}" "${arguments[@]}" --seed "$SEED"
}

parse_options "$@"
use_python
TOOLS=(fairseq-preprocess)
[[ "$TOKENISER" == none ]] || TOOLS+=(sacremoses)
[[ "$SUBWORDS" == sentencepiece ]] || TOOLS+=(subword-nmt)
prepare_start "${TOOLS[@]}"

FILES=() FOUND_SETS=() CUT=()
if [[ -d "$FROM" ]]; then
    FROM="${FROM%/}"
    find_text train "$FROM" train ||
        die "no train.$SOURCE or train.$TARGET (or .gz) in $FROM; --from takes a folder with both, or what the names of two files begin with"
    for set in valid test; do
        size="${set^^}"
        if find_text "$set" "$FROM" "$set"; then
            [[ -z "${!size}" ]] || die "--$set ${!size}: $set is in $FROM already; leave the option out" 2
        else
            CUT+=("$set" "${!size:-1000}")
        fi
    done
    for ((number = 1; ; number++)); do find_text "test$number" "$FROM" "test$number" || break; done
else
    find_text train "$(dirname "$FROM")" "$(basename "$FROM")" ||
        die "neither $FROM nor $FROM.$SOURCE is there; --from takes a folder, or what the names of two files begin with"
    CUT=(valid "${VALID:-1000}" test "${TEST:-1000}")
fi
SETS=(train valid test)
for set in "${FOUND_SETS[@]}"; do
    [[ "$set" != test?* ]] || SETS+=("$set")
done
TEST_NAMES=()
for set in "${SETS[@]:2}"; do TEST_NAMES+=("$set $set"); done

if [[ "$TOKENISER" == sacremoses ]]; then
    while IFS= read -r said; do note "$said"; done < <("$PYTHON" "$ROOT/scripts/sacremoses_rules.py" "${LANGUAGES[@]}")
fi
stage raw raw "repair=$REPAIR empty=$DROP_EMPTY ${LANGUAGES[*]} sets=${FOUND_SETS[*]} cut=${CUT[*]} seed=$SEED" read_and_cut "${FILES[@]}"
text_stages
