#!/usr/bin/env python3
"""Where a training goes on: resume_point.py SAVE_DIR MAX_UPDATE MAX_EPOCH [NODE_RANK] (0 = no limit).

Prints one line: "finished UPDATES", "resume UPDATES CHECKPOINT", or "start 0" if no checkpoint was written yet.
Also tidies what a kill may have left: half-written temporary files, and a checkpoint_best.pt that was not copied.
"""

import contextlib
import glob
import io
import json
import os
import sys


def finished(save_dir: str, max_update: int, max_epoch: int) -> int:
    """The updates of a run that ended well under the same limits; 0 otherwise."""
    try:
        with open(os.path.join(save_dir, "done"), encoding="utf-8") as file:
            done = json.load(file)
    except (FileNotFoundError, ValueError):
        return 0
    return done["updates"] if (done["max_update"], done["max_epoch"]) == (max_update, max_epoch) else 0


def newest(save_dir: str) -> str:
    """The newest checkpoint that can be read; stops with its message if there is none."""
    from fairseq_plugins.cli import main

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = main(["latest-checkpoint", save_dir])
    if status != 0:
        sys.exit(f"resume: error: no checkpoint in {save_dir} can be read; remove the folder to start over")
    return output.getvalue().strip()


def repair_best(save_dir: str, checkpoint: str, extra_state: dict) -> None:
    """fairseq writes the first file of a save whole and copies it to the others: a kill in between loses the best."""
    from fairseq_plugins.runtime.durable import copy_durably

    loss = extra_state.get("val_loss")
    if loss is None or loss != extra_state.get("best"):
        return
    best = os.path.join(save_dir, "checkpoint_best.pt")
    if os.path.abspath(best) == os.path.abspath(checkpoint):
        return
    copy_durably(checkpoint, best)


def main() -> int:
    save_dir, max_update, max_epoch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tidies = sys.argv[4:] in ([], ["0"])  # of several machines one
    updates = finished(save_dir, max_update, max_epoch)
    if updates:
        print("finished", updates)
        return 0
    for leftover in glob.glob(os.path.join(glob.escape(save_dir), "*.pt.tmp")) if tidies else []:
        os.remove(leftover)
    if not glob.glob(os.path.join(glob.escape(save_dir), "checkpoint*.pt")):
        print("start 0")
        return 0
    checkpoint = newest(save_dir)

    from fairseq_plugins.checkpoints.reading import load_state  # without fairseq, whose import takes a second

    state = load_state(checkpoint)
    updates = state["optimizer_history"][-1]["num_updates"]
    if tidies:
        repair_best(save_dir, checkpoint, state["extra_state"])
    if max_update and updates >= max_update:
        # fairseq would train one update more before it looks at the limit.
        if tidies:
            with open(os.path.join(save_dir, "done"), "w", encoding="utf-8") as file:
                json.dump({"updates": updates, "max_update": max_update, "max_epoch": max_epoch}, file)
        print("finished", updates)
    else:
        print("resume", updates, checkpoint)
    return 0


if __name__ == "__main__":
    sys.exit(main())
