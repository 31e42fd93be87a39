"""Average the parameters of several checkpoints into one.

Floating-point parameters are summed in float64 and stored in their own type, so the result does not depend on the
order beyond that type's rounding. Everything else (options, task, training state) is the last checkpoint's, without
its optimizer.

    fairseq-plugins average-checkpoints runs/toy --last 5 --output runs/toy/average.pt
    fairseq-plugins average-checkpoints a.pt b.pt c.pt --output average.pt
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import Any, Dict, List

import torch

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
        state = average(paths)
    except (ValueError, OSError) as error:
        print(f"average-checkpoints: error: {error}", file=sys.stderr)
        return 1
    partial = args.output + ".tmp"
    torch.save(state, partial)
    os.replace(partial, args.output)
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
    """The last checkpoint's state with the mean of all models' parameters."""
    from fairseq import checkpoint_utils

    total: Dict[str, torch.Tensor] = {}
    state: Dict[str, Any] = {}
    for path in paths:
        if not os.path.isfile(path):
            raise ValueError(f"no checkpoint {path}")
        state = checkpoint_utils.load_checkpoint_to_cpu(path)
        model = state["model"]
        if not total:
            total = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in model.items()}
        _check_same(total, model, paths[0], path)
        for name, value in model.items():
            if value.is_floating_point():
                total[name] += value.double()
    for name, value in state["model"].items():
        if value.is_floating_point():
            state["model"][name] = (total[name] / len(paths)).to(value.dtype)
    state["last_optimizer_state"] = None
    return state


def _check_same(total: Dict[str, torch.Tensor], model: Dict[str, torch.Tensor], first: str, path: str) -> None:
    for name in sorted(set(total) ^ set(model)):
        raise ValueError(f"{name} is in only one of {first} and {path}: they are different models")
    for name, value in model.items():
        if value.shape != total[name].shape:
            raise ValueError(
                f"{name} is {tuple(total[name].shape)} in {first} but {tuple(value.shape)} in {path}: "
                "they are different models"
            )
