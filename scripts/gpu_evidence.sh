#!/usr/bin/env bash
# Everything that only a GPU can tell, most important first: correctness, speed beside stock fairseq, small trainings.
#
# Usage: bash scripts/gpu_evidence.sh --out DIR [OPTION]...
#
#   --out DIR          where the results go, a file for each part as it ends; DIR/evidence.md holds all that are there
#   --only PART,...    these parts alone, by their names without the number, such as tests or training-small
#   --minutes N        stop after N minutes (default 9); the same command goes on with the parts that are missing
#   --data DIR         a folder with multi30k/raw and wikitext-2, which scripts/prepare_multi30k.sh and prepare_wikitext.sh
#                      take by --from; without them models are trained on the toy corpus
#   --wheelhouse DIR   first install what scripts/build_wheelhouse.sh wrote, into the Python that PYTHON names
#   --smoke            the smallest sizes: shows in a minute or two that everything runs
#   --cpu              on the CPU; the figures are none of a GPU
#
# A part that fails or takes too long says so, the others go on, and the next call does it again.
#
# Examples:
#   PYTHON=python3.12 bash scripts/gpu_evidence.sh --out evidence --wheelhouse wheelhouse-py312 --data corpora
#   bash scripts/gpu_evidence.sh --out evidence-smoke --smoke --cpu

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

OUT="" ONLY="" MINUTES=9 DATA="" WHEELHOUSE="" SMOKE=0 CPU=()
while [[ $# -gt 0 ]]; do
    case "$1" in
        --out) need_value "$1" $#; OUT="$2"; shift 2 ;;
        --only) need_value "$1" $#; ONLY=",$2,"; shift 2 ;;
        --minutes) need_value "$1" $#; count "$1" "$2"; MINUTES="$2"; shift 2 ;;
        --data) need_value "$1" $#; DATA="$2"; shift 2 ;;
        --wheelhouse) need_value "$1" $#; WHEELHOUSE="$2"; shift 2 ;;
        --smoke) SMOKE=1; shift ;;
        --cpu) CPU=(--cpu); shift ;;
        -h | --help) print_usage "$0"; exit 0 ;;
        *) die "unknown argument: $1; see $PROGRAM --help" 2 ;;
    esac
done
[[ -n "$OUT" ]] || die "where to? Give --out; see $PROGRAM --help" 2
[[ -z "$DATA" || -d "$DATA" ]] || die "no folder $DATA" 2
mkdir -p "$OUT" || die "cannot make the folder $OUT; choose another --out"
OUT="$(cd "$OUT" && pwd)"
DEADLINE=$((SECONDS + 60 * MINUTES))

if [[ -n "$WHEELHOUSE" && ! -e "$OUT/installed" ]]; then
    "${PYTHON:?--wheelhouse needs PYTHON, the interpreter that has torch}" -m pip install -q --no-index \
        --find-links "$WHEELHOUSE" --no-deps "$WHEELHOUSE"/*.whl || die "cannot install $WHEELHOUSE"
    touch "$OUT/installed"
fi
use_python
cd "$ROOT"
if [[ "${#CPU[@]}" == 0 ]]; then
    "$PYTHON" -c "import torch; raise SystemExit(not torch.cuda.is_available())" ||
        die "torch finds no GPU here; --cpu tries everything on the CPU"
fi

# collect: what all parts that are done have printed, in one file.
collect() {
    local log
    {
        echo "# Evidence of $("$PYTHON" -c "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'a CPU')")"
        for log in "$OUT"/[0-9]*.txt; do
            printf '\n## %s\n\n' "$(basename "$log" .txt)"
            cat "$log"
        done
    } >"$OUT/evidence.md.tmp" && mv "$OUT/evidence.md.tmp" "$OUT/evidence.md"
}

failed=0 missing=0
# part NAME SECONDS COMMAND...: run it for at most so long; its stdout becomes DIR/NAME.txt when it has ended well.
part() {
    local name="$1" limit="$2" left=$((DEADLINE - SECONDS)) begun=$SECONDS
    shift 2
    [[ ! -e "$OUT/$name.txt" && (-z "$ONLY" || "$ONLY" == *",${name#*-},"*) ]] || return 0
    if [[ "$left" -lt 10 ]]; then
        missing=$((missing + 1))
        return 0
    fi
    if timeout -k 20 "$((limit < left ? limit : left))" "$@" >"$OUT/$name.out" 2>"$OUT/$name.err"; then
        { echo "    $(show_command "$@" | cut -c 1-400)" && echo && cat "$OUT/$name.out"; } >"$OUT/$name.txt"
        rm -f "$OUT/$name.out"
        note "$name: $((SECONDS - begun)) s"
    else
        failed=$((failed + 1))
        note "$name failed after $((SECONDS - begun)) s: $(tail -n 1 "$OUT/$name.err" | cut -c 1-200); see $OUT/$name.err"
    fi
    collect
}

benchmark() {
    local name="$1" limit="$2"
    shift 2
    part "$name" "$limit" "$PYTHON" scripts/benchmark.py "$@" ${CPU[@]+"${CPU[@]}"} --json "$OUT/$name.json"
}

FAST="--criterion fused_label_smoothed_cross_entropy --optimizer fused_adam --fast-dropout"
PACKED="--model-overrides \"{'fast_inference': True}\""
GRAPHS="--model-overrides \"{'fast_inference': True, 'cuda_graphs': True}\""
translation_training() {
    benchmark "$1" "$2" train --sizes "$3" --batches 1 "${ROUNDS[@]}" \
        --systems stock,baseline,baseline+fast,baseline+half,baseline+compiled \
        --set "baseline+fast=$FAST" --set "baseline+half=$FAST $HALF" --set "baseline+compiled=$COMPILED"
}
translation() {
    benchmark "$1" "$2" generate --sizes "$3" --sentences "$4" "${ROUNDS[@]}" --systems stock,baseline,baseline+fast,baseline+graphs,neuralqkv \
        --set "baseline+fast=$PACKED" --set "baseline+graphs=$GRAPHS"
}
# train_and_translate VARIANT SECONDS: a training that is told to stop when the time is over, and its BLEU.
# shellcheck disable=SC2016 # of the inner shell
train_and_translate() {
    part "09-trained-$1" "$(($2 + 60))" bash -c '
        set -euo pipefail
        run="$1/run-$2" data="$1/data" seconds="$3" arch="$4" updates="$5"
        IFS=, read -r -a device <<<"$6"
        status=0
        timeout -s TERM "$seconds" bash scripts/train.sh "$data/bin" --arch "$arch" --save-dir "$run" --resume --preset none \
            ${updates:+--max-update "$updates"} "${device[@]}" -- --share-all-embeddings --dropout 0.3 "${@:7}" >&2 || status=$?
        [[ "$status" == 0 || "$status" == 124 || "$status" == 143 ]] || exit "$status"
        bash scripts/generate.sh "$data/bin" --save-dir "$run" --path "$run/checkpoint_last.pt" --language en "${device[@]}" \
            ${updates:+--smoke} >&2
        bash scripts/score.sh "$run/gen.test/hyp.detok.en" "$data/raw/test.en"
        tail -n 2 "$run/train.log"
        ' train "$OUT" "$1" "$2" "transformer_$1_$ARCH" "$UPDATES" "$DEVICE" ${BF16[@]+"${BF16[@]}"}
}

# masked_lm VARIANT SECONDS: the same of a masked language model: its validation losses.
# shellcheck disable=SC2016 # of the inner shell
masked_lm() {
    part "13-masked-lm-$1" "$(($2 + 30))" bash -c '
        set -euo pipefail
        run="$1/masked-$2" seconds="$3" arch="$4" updates="$5" status=0
        IFS=, read -r -a device <<<"$6"
        timeout -s TERM "$seconds" bash scripts/train.sh "$1/text/bin" --arch "$arch" --save-dir "$run" --resume --preset none \
            ${updates:+--max-update "$updates"} --save-every "${updates:-500}" "${device[@]}" --max-tokens "$7" -- \
            --task masked_lm --criterion masked_lm --mask-prob 0.15 --tokens-per-sample 128 --max-positions 128 \
            --sample-break-mode none --lr 0.0005 --warmup-updates 1000 --weight-decay 0.01 "${@:8}" >&2 || status=$?
        [[ "$status" == 0 || "$status" == 124 || "$status" == 143 ]] || exit "$status"
        echo "updates and validation loss in bits:"
        sed -n "s/.*\"valid_loss\": \"\([0-9.]*\)\".*\"valid_num_updates\": \"\([0-9]*\)\".*/\2 \1/p" "$run/train.log"
        ' train "$OUT" "$1" "$2" "roberta_$1_$MASKED" "$UPDATES" "$DEVICE" "$TOKENS" ${BF16[@]+"${BF16[@]}"}
}

HALF=--bf16 COMPILED=--compile-layers ROUNDS=(--rounds 3) SIZE=iwslt SENTENCES=512
CASES=() ARCH=iwslt_de_en MASKED=small TOKENS=16384 UPDATES="" DEVICE="${CPU[0]:---gpus,1}" BF16=(--bf16)
if [[ "$SMOKE" == 1 ]]; then
    ARCH=tiny MASKED=tiny TOKENS=2048 UPDATES=6
    SIZE=tiny SENTENCES=8 ROUNDS=(--rounds 1) COMPILED="--compile-layers aot_eager"
    CASES=(-k "baseline or elu1")
fi
[[ "${#CPU[@]}" == 0 ]] || { HALF=--autocast-bf16 BF16=() && export FAIRSEQ_PLUGINS_TEST_DEVICE=cpu; }

PREPARE=(scripts/prepare_toy.sh)
[[ "$SMOKE" == 0 ]] || PREPARE+=(--train 300 --valid 20 --test 10 --bpe 200)
[[ ! -d "$DATA/multi30k/raw" ]] || PREPARE=(scripts/prepare_multi30k.sh --from "$DATA/multi30k/raw")

part 01-machine 30 "$PYTHON" scripts/inspect_env.py verify "$ROOT"
part 02-tests 150 "$PYTHON" -m pytest -q -p no:cacheprovider -m gpu tests/gpu ${CASES[@]+"${CASES[@]}"}
part 03-attention-kernels 30 "$PYTHON" -m fairseq_plugins.benchmark.kernels ${CPU[@]+"${CPU[@]}"}
translation_training 04-training-small 60 "$SIZE"
translation 05-translation-small 60 "$SIZE" "$SENTENCES"
if [[ "$SMOKE" == 0 ]]; then
    translation_training 06-training-base 60 wmt-base
    benchmark 07-masked-lm 60 train --sizes roberta-base --batches 1 "${ROUNDS[@]}" \
        --systems stock,baseline,baseline+fast,symmetric,pairwise,huggingface \
        --set "baseline+fast=--optimizer fused_adam --fast-dropout"
fi
part 08-data 60 bash "${PREPARE[@]}" --out "$OUT/data"
for variant in baseline neuralqkv matched; do train_and_translate "$variant" 45; done
if [[ "$SMOKE" == 0 ]]; then
    translation 10-translation-base 60 wmt-base "$SENTENCES"
    translation_training 11-training-big 60 wmt-big
fi

TEXT=(scripts/prepare_wikitext.sh 2 --out "$OUT/text")
if [[ -d "$DATA/wikitext-2" ]]; then TEXT+=(--from "$DATA/wikitext-2"); else TEXT+=(--smoke); fi
part 12-text 60 bash "${TEXT[@]}"
for variant in baseline symmetric; do masked_lm "$variant" 60; done

collect
[[ "$missing" == 0 ]] || note "$missing parts had no time left; the same command does them"
note "$OUT/evidence.md"
[[ "$failed" == 0 && "$missing" == 0 ]]
