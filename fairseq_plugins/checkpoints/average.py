"""The mean of several checkpoints of one training."""

from __future__ import annotations

import os
import re

import torch

from .checkpoint import Checkpoint, Weights
from .reading import CheckpointError
from .signature import differences, signature

#: what fairseq calls the checkpoint of an epoch, and the one of a number of updates
EPOCH = re.compile(r"checkpoint(\d+)\.pt")
UPDATE = re.compile(r"checkpoint_\d+_(\d+)\.pt")


def last_checkpoints(folder: str, count: int, pattern: re.Pattern[str] = EPOCH) -> list[str]:
    """The ``count`` newest checkpoints of a folder whose names match, newest last.

    Raises:
        CheckpointError: ``count`` is below 1, or the folder holds fewer.
        OSError: the folder cannot be listed.
    """
    if count < 1:
        raise CheckpointError(f"--last {count}: at least 1")
    found = sorted((int(match[1]), name) for name in os.listdir(folder) if (match := pattern.fullmatch(name)))
    if len(found) < count:
        raise CheckpointError(f"{folder} holds {len(found)} checkpoints like {pattern.pattern}, not {count}")
    return [os.path.join(folder, name) for _, name in found[-count:]]


def average(paths: list[str]) -> Checkpoint:
    """The last checkpoint with the mean of all models' parameters.

    Raises:
        CheckpointError: one cannot be read, does not say which model it is, or is of another model than the first.
    """
    total: Weights = {}
    first: dict[str, str] = {}
    for path in paths:
        checkpoint = Checkpoint.read(path)
        weights, found = checkpoint.weights, signature(checkpoint)
        if not total:
            total = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
            first = found
        different = differences(first, found)
        if different:
            raise CheckpointError(f"{paths[0]} and {path} are not of one model: {'; '.join(different)}")
        for name, weight in weights.items():
            if weight.is_floating_point():
                total[name] += weight.double()
    with torch.no_grad():
        for name, weight in weights.items():
            if weight.is_floating_point():
                weight.copy_(total[name] / len(paths))  # in place: tables that are one tensor stay one in the file
    checkpoint.drop_training()
    return checkpoint
