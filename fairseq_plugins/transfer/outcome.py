"""What became of each parameter in a warm start, as records and as a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fairseq_plugins.report.tables import markdown_table

COPIED, CONSTRUCTED, INITIALISED, DROPPED = "copied", "constructed", "initialised", "dropped"


@dataclass(frozen=True)
class Outcome:
    """One parameter's fate.

    Attributes:
        name: of the parameter in the new model; of a dropped one in the old model.
        shape: its shape there.
        action: ``copied``, ``constructed``, ``initialised`` or ``dropped``.
        how: the construction, the distribution, or the reason; may be empty.
    """

    name: str
    shape: tuple[int, ...]
    action: str
    how: str = ""

    def as_record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.name, "shape": list(self.shape), "action": self.action, "how": self.how}


def table(outcomes: list[Outcome]) -> str:
    """A Markdown table in which the layers that share a fate are one row: ``encoder.layers.{0-5}.fc1.weight``."""
    groups: dict[tuple[str, tuple[int, ...], str, str], list[int]] = {}
    for outcome in outcomes:
        pattern = re.sub(r"\blayers\.\d+\.", "layers.*.", outcome.name, count=1)
        key = pattern, outcome.shape, outcome.action, outcome.how
        layer = re.search(r"\blayers\.(\d+)\.", outcome.name)
        groups.setdefault(key, []).extend([int(layer[1])] if layer else [])
    rows = []
    for (pattern, shape, action, how), layers in groups.items():
        name = pattern.replace("layers.*.", f"layers.{_ranges(layers)}.")
        rows.append([name, " x ".join(map(str, shape)), action, how])
    return markdown_table(["parameter", "shape", "what", "how"], rows)


def _ranges(numbers: list[int]) -> str:
    """``[0, 1, 2, 5]`` -> ``{0-2,5}``; one number stands for itself."""
    if len(numbers) < 2:
        return "".join(map(str, numbers))
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "{" + ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) + "}"
