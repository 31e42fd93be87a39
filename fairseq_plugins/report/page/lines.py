"""The scores for programs: a line a run and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairseq_plugins.report.tables import csv_table


def as_csv(results: Mapping[str, Any]) -> str:
    """All digits; a variant whose metric is missing has no line for it."""
    header = ["variant", "arch", "parameters", "seed", "metric", "score", "updates", "folder"]
    lines: list[Sequence[Any]] = []
    for model in results["variants"]:
        runs = {run["seed"]: run for run in model["runs"]}
        for metric in (one["name"] for one in results["metrics"] if one["name"] in model["scores"]):
            for seed, score in zip(model["seeds"], model["scores"][metric]["per_seed"]):
                run = runs.get(seed, {})
                start = [model["name"], model["arch"], model["parameters"], seed, metric, score]
                lines.append([*start, run.get("updates"), run.get("folder")])
    return csv_table(header, lines)
