"""Parts of a file that several jobs answer, and their answers put together."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

from fairseq_plugins.errors import UserError
from fairseq_plugins.runtime.durable import whole_files

from .sink import made_of
from .source import Source


class Shard:
    """A part of a file's lines: whole buffers, so that batches are those of one process.

    All shards have about as many characters.

    Args:
        given: ``I/N``, with I from 0.
        path: of the file.
        size: lines of a buffer.
        repair: as for :class:`.source.Source`.

    Attributes:
        first: its first line, from 1.
        end: the line after its last one.

    Raises:
        UserError: ``given`` is no such thing.
    """

    def __init__(self, given: str, path: str, size: int, repair: bool) -> None:
        found = re.fullmatch(r"(\d+)/([1-9]\d*)", given)
        if found is None or int(found[1]) >= int(found[2]):
            raise UserError(f"--shard {given}: give I/N with I from 0 to N - 1")
        self.number, self.count = int(found[1]), int(found[2])
        lines = iter(Source(path, repair))
        sizes = [sum(map(len, buffer)) for buffer in iter(lambda: list(itertools.islice(lines, size)), [])]
        total = max(sum(sizes), 1)
        # a buffer belongs to the shard in which its middle lies
        middles = (end - own / 2 for end, own in zip(itertools.accumulate(sizes), sizes))
        owners = [min(int(middle * self.count / total), self.count - 1) for middle in middles]
        self.first = 1 + size * sum(owner < self.number for owner in owners)
        self.end = 1 + size * sum(owner <= self.number for owner in owners)

    def path(self, out: str) -> str:
        """Where its answers are written."""
        return shard_path(out, self.number, self.count)


def shard_path(out: str, number: int, count: int) -> str:
    """Where the answers of a shard are written."""
    return f"{out}.{number}-of-{count}"


def merge(out: str) -> int:
    """Put the shards of a file together and remove them; returns how many there were.

    Raises:
        UserError: one is missing, or they are not of the same model, text and options.
    """
    found: dict[int, set[int]] = {}
    for entry in Path(out).parent.glob("*-of-*"):
        if (match := re.fullmatch(r"\.(\d+)-of-(\d+)", entry.name.removeprefix(Path(out).name))) is not None:
            found.setdefault(int(match[2]), set()).add(int(match[1]))
    if not found:
        raise UserError(
            f"{out}: no shard of it is finished, there is no {shard_path(out, 0, 2)} or the like; add --shard I/N"
        )
    if len(found) > 1:
        counts = " and ".join(map(str, sorted(found)))
        raise UserError(f"{out}: there are shards of {counts}; remove {out}.*-of-* of the wrong number")
    ((count, there),) = found.items()
    missing = sorted(set(range(count)) - there)
    if missing:
        numbers = ", ".join(map(str, missing))
        raise UserError(
            f"of {count} shards these are missing: {numbers}; run them, the first with --shard {missing[0]}/{count}"
        )
    paths = [shard_path(out, number, count) for number in range(count)]
    others = [path for path in paths if made_of(path) != made_of(paths[0])]
    if others:
        raise UserError(
            f"{others[0]} is of another model, text or option than {paths[0]}; run it again as the others were"
        )
    with whole_files([out]) as (file,):
        for path in paths:
            with open(path, "rb") as part:
                while chunk := part.read(1 << 20):
                    file.write(chunk)
    for path in paths:
        os.remove(path)
        os.remove(f"{path}.json")
    return count
