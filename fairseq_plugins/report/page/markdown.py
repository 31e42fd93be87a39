"""The report for documents that are Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fairseq_plugins.report.tables import markdown_table

from .cells import differences, notes, scores, signatures
from .numerals import NOTHING, amount, duration, spread


def as_markdown(results: Mapping[str, Any]) -> str:
    """Verdict, tables and what is missing."""
    parts = [f"# {plain(results['title'])}"]
    if results["question"]:
        parts.append(f"*{plain(results['question'])}*")
    parts += [f"**{plain(results['verdict']['headline'])}**", *map(plain, results["verdict"]["sentences"])]
    parts += ["## Results", _table(*scores(results))]
    header, rows = differences(results)
    if rows:
        parts += ["## Differences to the baseline", _table(header, rows)]
    parts.append("\n".join(f"- {plain(note)}" for note in [*notes(results), *signatures(results)]))
    if results["missing"]:
        lines = [[one["variant"], str(one["seed"]), one["reason"]] for one in results["missing"]]
        parts += ["## Missing runs", _table(["variant", "seed", "reason"], lines)]
    return "\n\n".join(parts) + "\n"


def times_as_markdown(times: Mapping[str, Any]) -> str:
    """What differs between two runs of the same study."""
    rows = [
        [
            name,
            spread(one["tokens_per_second"], 0),
            NOTHING if one["peak_memory"] is None else f"{amount(one['peak_memory'])}B",
            ", ".join(duration(seconds) for seconds in one["seconds"]["per_seed"]),
        ]
        for name, one in times["variants"].items()
    ]
    table = _table(["variant", "tokens a second", "peak memory", "training time of each seed"], rows)
    return f"# Times\n\n{table}\n\nAll trainings together took {duration(times['wall_seconds'])}.\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it stands, in one line."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(header, [[plain(cell) for cell in row] for row in rows])
