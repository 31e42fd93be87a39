"""Average the parameters of several checkpoints into one.

Floating-point parameters are summed in float64 and stored in their own type, so the result does not depend on the
order beyond that type's rounding. Everything else (options, task, training state) is the last checkpoint's, without
its optimizer. Checkpoints of different models (architecture, attention, whatever else changes what is computed, sizes
of dictionaries, shared embeddings) are refused; dropout and the like may differ.

    fairseq-plugins average-checkpoints runs/toy --last 5 --output runs/toy/average.pt
    fairseq-plugins average-checkpoints a.pt b.pt c.pt --output average.pt
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List

import torch

from fairseq_plugins.checkpoints import CheckpointError, save_state

#: what fairseq calls the checkpoint of an epoch, and the one of a number of updates
EPOCH = re.compile(r"checkpoint(\d+)\.pt")
UPDATE = re.compile(r"checkpoint_\d+_(\d+)\.pt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="checkpoint files, or one folder with --last")
    parser.add_argument("--output", required=True, metavar="FILE", help="the averaged checkpoint")
    parser.add_argument("--last", type=int, metavar="N", help="of a folder, the N newest epochs")
    parser.add_argument("--updates", action="store_true", help="with --last: the saves by updates instead of epochs")


def run(args: argparse.Namespace) -> int:
    try:
        paths = args.inputs
        if args.last is not None:
            if len(paths) != 1:
                raise ValueError("--last takes one folder")
            paths = last_checkpoints(paths[0], args.last, UPDATE if args.updates else EPOCH)
        save_state(average(paths), Path(args.output))
    except (CheckpointError, ValueError, OSError) as error:
        print(f"average-checkpoints: error: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: the average of {len(paths)} checkpoints: {', '.join(map(os.path.basename, paths))}")
    return 0


def last_checkpoints(folder: str, count: int, pattern: re.Pattern[str] = EPOCH) -> List[str]:
    """The ``count`` newest checkpoints of a folder whose names match, newest last."""
    if count < 1:
        raise ValueError(f"--last {count}: at least 1")
    found = sorted((int(match[1]), name) for name in os.listdir(folder) if (match := pattern.fullmatch(name)))
    if len(found) < count:
        raise ValueError(f"{folder} holds {len(found)} checkpoints like {pattern.pattern}, not {count}")
    return [os.path.join(folder, name) for _, name in found[-count:]]


def average(paths: List[str]) -> Dict[str, Any]:
    """The last checkpoint's state with the mean of all models' parameters.

    Raises:
        CheckpointError: one cannot be read, does not say which model it is, or is of another model than the first.
    """
    from fairseq_plugins.transfer import state as checkpoint
    from fairseq_plugins.transfer.signature import differences, signature

    total: Dict[str, torch.Tensor] = {}
    first: Dict[str, str] = {}
    for path in paths:
        state = checkpoint.read(path)
        model, found = state["model"], signature(state, path)
        if not total:
            total = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in model.items()}
            first = found
        different = differences(first, found)
        if different:
            raise CheckpointError(f"{paths[0]} and {path} are not of one model: {'; '.join(different)}")
        for name, value in model.items():
            if value.is_floating_point():
                total[name] += value.double()
    with torch.no_grad():
        for name, value in model.items():
            if value.is_floating_point():
                value.copy_(total[name] / len(paths))  # in place: tables that are one tensor stay one in the file
    checkpoint.drop_training(state)
    return state
