#!/usr/bin/env bash
# Prepare a parallel corpus for a pretrained opus-mt model: its checkpoint for fairseq, and the text in its pieces.
#
# usage: bash scripts/prepare_opus_mt.sh --model DIR --from DIR [options]
#
#   --model DIR         folder of an opus-mt model in Hugging Face's layout, such as opus-mt-de-en: config.json,
#                       vocab.json, source.spm, target.spm, and model.safetensors or pytorch_model.bin
#   --from DIR          plain text, a sentence a line, of any two languages: {train,valid,test}.{de,en} for German and
#                       English, and perhaps test1.{de,en} ...; the raw/ of any other prepare script's result
#   --out DIR           where to write (default: data/opus-mt-SOURCE-TARGET)
#   --source-lang L, --target-lang L    direction of the model and of bin/ (default: de en)
#   --workers N         processes (default: 1); the result does not depend on it
#   --force             make every stage again
#   --dry-run           print every command, write nothing
#
# Result: model/ (model.pt for fairseq-train --finetune-from-model, dict.txt, source.spm, target.spm), spm/ (the text in
# SentencePiece's pieces; what the model does not have is <unk>), bin/ (fairseq-preprocess, the model's dictionary on
# both sides) and text.json, with which scripts/translate.sh takes raw text. The text is taken as it is, neither tokenised
# nor cleaned, as these models are used. Stages that are done are skipped; after an interruption run the same command
# again.
#
# examples:
#   huggingface-cli download Helsinki-NLP/opus-mt-de-en --local-dir opus-mt-de-en
#   bash scripts/prepare_opus_mt.sh --model opus-mt-de-en --from data/iwslt17-de-en/raw
#   bash scripts/prepare_opus_mt.sh --model opus-mt-de-en --from data/multi30k/raw --out data/multi30k-opus --workers 4

# shellcheck source=scripts/prepare_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare_lib.sh"

MODEL=""

OPTIONS=(--model=MODEL:folder --source-lang=SOURCE:language --target-lang=TARGET:language)
settle_options() {
    any_languages
    : "${OUT:="$ROOT/data/opus-mt-$SOURCE-$TARGET"}"
}
MEANINGLESS=": the text is taken as it is, in the pieces of the model"
refuse --url --bpe --min-tokens --max-tokens --ratio --drop-duplicates --drop-empty --repair

import_model() {
    make_dir "$PARTIAL/model"
    LOGLEVEL=WARNING run "$PYTHON" -m fairseq_plugins.cli import-huggingface "$MODEL" "$PARTIAL/model/model.pt"
}

encode_pieces() {
    local side language set files outputs
    make_dir "$PARTIAL/spm"
    for side in source target; do
        language="$SOURCE"
        [[ "$side" == source ]] || language="$TARGET"
        files=() outputs=()
        for set in "${SETS[@]}"; do
            files+=("$FROM/$set.$language")
            outputs+=("$PARTIAL/spm/$set.$language")
        done
        plugin apply-sentencepiece --model "$OUT/model/$side.spm" --dict "$OUT/model/dict.txt" \
            "${files[@]}" --output "${outputs[@]}"
    done
}

binarise_pieces() { preprocess_pairs spm --srcdict "$OUT/model/dict.txt"; }

record_pieces() {
    plugin record-text --folder "$OUT" --source-lang "$SOURCE" --target-lang "$TARGET" \
        --sentencepiece model/source.spm model/target.spm --output "$PARTIAL/text.json"
}

parse_options "$@"
[[ -n "$MODEL" ]] || die "which model? Give --model, a folder; see $PROGRAM --help" 2
[[ -n "$FROM" ]] || die "which text? Give --from, a folder with train, valid and test; see $PROGRAM --help" 2
FROM="${FROM%/}"
use_python
prepare_start fairseq-preprocess

SETS=(train valid test)
for ((number = 1; ; number++)); do
    [[ -f "$FROM/test$number.$SOURCE" ]] || break
    SETS+=("test$number")
done
MODEL_FILES=("$MODEL"/{config.json,vocab.json,source.spm,target.spm})
TEXT=()
for set in "${SETS[@]}"; do
    TEXT+=("$FROM/$set.$SOURCE" "$FROM/$set.$TARGET")
done
if [[ "$DRY_RUN" == 0 ]]; then
    for file in "${MODEL_FILES[@]}"; do
        [[ -f "$file" ]] || die "no $file; --model takes a folder of an opus-mt model (see $PROGRAM --help)"
    done
    for file in "${TEXT[@]}"; do
        [[ -f "$file" ]] || die "no $file; --from takes a folder with both sides of train, valid and test"
    done
    for file in "$MODEL"/{model*.safetensors,model.safetensors.index.json,pytorch_model.bin}; do
        [[ ! -f "$file" ]] || MODEL_FILES+=("$file")
    done
fi

stage model model "" import_model "${MODEL_FILES[@]}"
stage encode spm "$SOURCE-$TARGET" encode_pieces "$OUT"/model/{dict.txt,source.spm,target.spm} "${TEXT[@]}"
SPM=()
for set in "${SETS[@]}"; do
    SPM+=("$OUT/spm/$set.$SOURCE" "$OUT/spm/$set.$TARGET")
done
stage binarise bin "joined $SOURCE-$TARGET" binarise_pieces "$OUT/model/dict.txt" "${SPM[@]}"
stage record text.json "$SOURCE-$TARGET" record_pieces "$OUT"/model/{source,target}.spm "$OUT"/bin/dict.{"$SOURCE","$TARGET"}.txt
[[ "$DRY_RUN" == 1 ]] || note "ready: fairseq-train $(printf '%q --finetune-from-model %q' "$OUT/bin" "$OUT/model/model.pt") ..." \
    "(reference for sacreBLEU: $(printf '%q' "$FROM/valid.$TARGET"))"
