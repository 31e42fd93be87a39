#!/usr/bin/env bash
# Average the last checkpoints of a run: often half a BLEU better than the last one alone.
#
#   scripts/average.sh SAVE_DIR [OPTION]...
#
#   --last N             how many (default 5): the newest epochs that train.sh kept
#   --updates            the saves by updates (train.sh --save-every) instead of epochs
#   --out FILE           where to (default SAVE_DIR/average.pt)
#   --resume             keep an average that is newer than the checkpoints
#   --dry-run            print the command, write nothing
#   --smoke              average what there is, at most N
#   --gpus N, --cpu, --seed N    accepted like everywhere, without effect here
#
# Example:
#   scripts/average.sh runs/iwslt17 --last 10
#   scripts/generate.sh data-bin/iwslt17 --save-dir runs/iwslt17 --path runs/iwslt17/average.pt

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SAVE_DIR=""
LAST=5
OUT=""
PATTERN='checkpoint[0-9]*.pt'
BY_UPDATES="" UPDATES=()

OPTIONS=(--last=LAST:count --out=OUT --updates=BY_UPDATES:1)
other_word() { only_word SAVE_DIR SAVE_DIR "${1%/}"; }
read_options "$@"
[[ -z "$BY_UPDATES" ]] || UPDATES=(--updates) PATTERN='checkpoint_[0-9]*_[0-9]*.pt'
[[ -n "$SAVE_DIR" ]] || die "which run? Give the folder of its checkpoints; see $PROGRAM --help" 2
[[ -n "$OUT" ]] || OUT="$SAVE_DIR/average.pt"

use_python
if [[ "$DRY_RUN" == 0 ]]; then
    [[ -d "$SAVE_DIR" ]] || die "no folder $SAVE_DIR"
    found="$(find "$SAVE_DIR" -maxdepth 1 -name "$PATTERN" | wc -l)"
    [[ "$SMOKE" == 0 || "$found" -ge "$LAST" || "$found" -eq 0 ]] || LAST=$((found))
    if [[ "$RESUME" == 1 && -f "$OUT" && -z "$(find "$SAVE_DIR" -maxdepth 1 -name "$PATTERN" -newer "$OUT")" ]]; then
        note "$OUT is there already"
        exit 0
    fi
fi
plugin_command average-checkpoints "$SAVE_DIR" --last "$LAST" ${UPDATES[@]+"${UPDATES[@]}"} --output "$OUT"
