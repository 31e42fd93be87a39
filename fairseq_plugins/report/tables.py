"""Tables as Markdown and as CSV, and how their numbers look."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A table with a line for each row, and below it a list of notes."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    below = ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join([*lines, *below])


def csv_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The same for programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def spread(value: tuple[float, float | None], digits: int = 2) -> str:
    """``12.34 ± 0.56`` of a mean and a deviation, which a single value has not."""
    mean, deviation = value
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def listed(numbers: Iterable[Any]) -> str:
    """``1, 2, 3``."""
    return ", ".join(map(str, numbers))
