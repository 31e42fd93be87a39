"""The newest checkpoint of a folder that can be read."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fairseq_plugins.lines import PathLike

from .reading import CheckpointError, check_archive, load_state

#: the names that fairseq gives its checkpoints; averages and other files beside them are none to resume from
_NAMES = re.compile(r"checkpoint(\d+|_\d+_\d+|_last|_best|\.best_.+)\.pt")


class Progress(NamedTuple):
    """How far a checkpoint's training was; later is greater.

    Attributes:
        updates: optimizer updates done.
        epoch: the epoch in which training goes on, from 1.
        iterations: batches of that epoch already consumed.
    """

    updates: int
    epoch: int
    iterations: int


def read_progress(path: PathLike) -> Progress:
    """How far a checkpoint's training was, from its metadata; an archive's weights are not read.

    Raises:
        CheckpointError: no complete fairseq training checkpoint.
    """
    check_archive(path, whole=False)
    state = load_state(path, map_location="meta" if zipfile.is_zipfile(path) else "cpu")
    try:
        updates = int(state["optimizer_history"][-1]["num_updates"])
        iterator = state["extra_state"]["train_iterator"]
        epoch, iterations = int(iterator["epoch"]), int(iterator["iterations_in_epoch"])
        if not isinstance(state["model"], dict) or not state["model"]:
            raise KeyError("model")
    except (KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{path}: not a fairseq training checkpoint ({error!r} is missing)") from error
    return Progress(updates, epoch, iterations)


def latest_checkpoint(
    save_dir: PathLike, name: str = "checkpoint_last.pt", report: Callable[[str], None] | None = None
) -> Path:
    """The checkpoint of a folder whose training was furthest and that can be read completely.

    Args:
        save_dir: fairseq's ``--save-dir``.
        name: preferred among checkpoints that were equally far.
        report: called with one sentence for each file that cannot be used, and for a choice other than ``name``.

    Raises:
        CheckpointError: there is none.
    """
    folder = Path(save_dir)
    report = report or (lambda sentence: None)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    found: list[tuple[Progress, bool, bool, Path]] = []
    broken = 0
    for path in sorted(folder.glob("*.pt")):
        if path.name != name and not _NAMES.fullmatch(path.name):
            continue
        try:
            progress = read_progress(path)
        except CheckpointError as error:
            broken += 1
            report(str(error))
        else:
            found.append((progress, path.name == name, "best" not in path.name, path))
    for progress, preferred, _, path in sorted(found, reverse=True):
        try:
            check_archive(path, whole=True)  # what has no checksums was read completely for its progress
        except CheckpointError as error:
            broken += 1
            report(str(error))
            continue
        if not preferred:
            report(f"using {path} ({progress.updates} updates) instead of {folder / name}")
        return path
    if broken:
        raise CheckpointError(f"{folder}: none of its {broken} checkpoints can be read")
    raise CheckpointError(f"{folder}: no checkpoint in it")
