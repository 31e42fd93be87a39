"""GLUE's tab-separated files, read strictly: every row that cannot be read names its file and line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from fairseq_plugins.lines import CorpusError, PathLike
from fairseq_plugins.text.reading import decode_lines, read_bytes

from .tasks import STS_B_RANGE, Task


class Example(NamedTuple):
    """One row: its one or two texts, and its label as it stands in the file."""

    texts: tuple[str, ...]
    label: str


class Examples(NamedTuple):
    """The rows of a file, in its order."""

    rows: list[Example]
    #: line numbers of the rows that were left out because fields were missing
    dropped: list[int]


def find_file(folder: PathLike, stem: str) -> Path:
    """``folder/stem.tsv`` or ``folder/stem.tsv.gz``.

    Raises:
        CorpusError: there is neither.
    """
    for path in (Path(folder) / f"{stem}.tsv", Path(folder) / f"{stem}.tsv.gz"):
        if path.is_file():
            return path
    raise CorpusError(f"{folder}: no {stem}.tsv or {stem}.tsv.gz in it; put GLUE's file there")


def read_examples(task: Task, path: PathLike) -> Examples:
    """The labelled rows of a file with GLUE's own layout, plain or gzipped.

    A row ends at ``\\n``, a field at a tab; quotes are text. A byte-order mark is skipped, blanks around texts are
    dropped, and control characters become blanks.

    Raises:
        CorpusError: not UTF-8, without a needed column, or a row that has too few or too many fields, or a label that
            the task does not have. Where ``task.drops_incomplete_rows``, rows of a wrong length are dropped instead,
            as fairseq's recipe does.
    """
    lines = decode_lines(read_bytes(path), path, repair=True)
    first = 1
    columns = list(task.columns)
    if not columns:
        columns = lines[0].split("\t")
        first = 2
    for needed in (*task.texts, task.label):
        if needed not in columns:
            raise CorpusError(
                f"{path}:1: the header line has no column {needed!r}, so this is no labelled {task.name} file of GLUE; "
                f"its columns are {', '.join(map(repr, columns))}"
            )
    texts, label = [columns.index(name) for name in task.texts], columns.index(task.label)
    rows, dropped = [], []
    for number, line in enumerate(lines[first - 1 :], first):
        fields = line.split("\t")
        if len(fields) != len(columns):
            if task.drops_incomplete_rows:
                dropped.append(number)
                continue
            raise CorpusError(
                f"{path}:{number}: {len(fields)} tab-separated fields instead of {len(columns)}; fetch the file again "
                "or mend the line"
            )
        _check_label(task, fields[label], path, number)
        rows.append(Example(tuple(fields[column].strip() for column in texts), fields[label]))
    if not rows:
        raise CorpusError(f"{path}: no row in it that can be used; fetch the file again")
    return Examples(rows, dropped)


def _check_label(task: Task, label: str, path: PathLike, number: int) -> None:
    if not task.is_regression:
        if label not in task.classes:
            raise CorpusError(
                f"{path}:{number}: the label {label!r} is none of {task.name}'s ({', '.join(task.classes)})"
            )
        return
    try:
        score = float(label)
    except ValueError:
        score = math.nan
    if not 0 <= score <= STS_B_RANGE:
        raise CorpusError(f"{path}:{number}: the score {label!r} is no number from 0 to {STS_B_RANGE:g}")
