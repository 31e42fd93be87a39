"""The table of language models: perplexity, and validation losses against updates, in nats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .runs import Run
from .statistics import mean_deviation
from .tables import csv_table, listed, markdown_table, spread

Rows = list[dict[str, Any]]


def summary(name: str, runs: Sequence[Run], below: Sequence[float] = ()) -> dict[str, Any]:
    """One row of the table as plain data: the runs of one model under several seeds.

    Args:
        name: of the row.
        runs: its members.
        below: losses whose first update is looked for; None for a run that never gets there.
    """
    curves = [run.in_nats() for run in runs]
    best = [min(loss for _, loss in curve) for curve in curves]
    records = []
    for run, curve in zip(runs, curves):
        first = {bound: next((u for u, loss in curve if loss < bound), None) for bound in below}
        records.append({**run.as_record(), "first_below": first, "validation": curve})
    return {
        "name": name,
        "arch": runs[0].arch,
        "parameters": runs[0].parameters,
        "best_loss": mean_deviation(best),
        "perplexity": mean_deviation([math.exp(loss) for loss in best]),
        "curves": [{"points": curve} for curve in curves],
        "runs": records,
    }


def common_updates(rows: Rows, count: int) -> list[int]:
    """Up to ``count`` updates at which every run was validated, spread evenly, the last of them included."""
    curves = [dict(run["validation"]) for row in rows for run in row["runs"]]
    common = sorted(set.intersection(*map(set, curves)))
    count = min(count, len(common))
    return [common[round((index + 1) * len(common) / count) - 1] for index in range(count)]


def markdown(rows: Rows, shown: Sequence[int], below: Sequence[float], remarks: Sequence[str] = ()) -> str:
    """The table; a dash where a run has no such value; ``remarks`` come last."""
    header = ["model", "parameters", "seeds", "best loss", "perplexity"]
    header += [f"loss at {updates}" for updates in shown]
    header += [f"first update below {loss:g}" for loss in below]
    lines = []
    for row in rows:
        curves = [dict(run["validation"]) for run in row["runs"]]
        cells = [row["name"], f"{row['parameters']:,}", listed(run["seed"] for run in row["runs"])]
        cells += [spread(row["best_loss"], 3), spread(row["perplexity"], 2)]
        cells += [_mean([curve.get(updates) for curve in curves], 3) for updates in shown]
        cells += [listed(run["first_below"][loss] or "-" for run in row["runs"]) for loss in below]
        cells.append(listed(sorted({run["updates"] for run in row["runs"]})))
        cells.append(_mean([run["seconds"] / 60 for run in row["runs"]], 1, " min"))
        lines.append(cells)
    notes = [
        "Validation losses in nats a token; perplexity = exp(loss); ± is the sample standard deviation over seeds."
    ]
    if below:
        notes.append("First updates are those of a validation, in the order of the seeds; - is never.")
    return markdown_table([*header, "updates", "training time"], lines, [*notes, *remarks])


def as_csv(rows: Rows) -> str:
    """One line a validation."""
    header = ["model", "arch", "parameters", "seed", "updates", "loss", "perplexity", "folder"]
    lines: list[Sequence[Any]] = []
    for row in rows:
        for run in row["runs"]:
            for updates, loss in run["validation"]:
                start = [row["name"], row["arch"], row["parameters"], run["seed"], updates]
                lines.append([*start, f"{loss:.4f}", f"{math.exp(loss):.4f}", run["folder"]])
    return csv_table(header, lines)


def _mean(values: Sequence[float | None], digits: int, unit: str = "") -> str:
    there = [value for value in values if value is not None and not math.isnan(value)]
    return f"{mean_deviation(there)[0]:.{digits}f}{unit}" if len(there) == len(values) else "-"
