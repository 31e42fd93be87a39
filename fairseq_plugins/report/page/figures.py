"""Which figures a study has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .buckets import by_bucket
from .curves import learning_curves
from .forest import differences, seeds, tasks
from .marks import Figure
from .trials import length_penalties, settings

#: kinds of buckets, in the order of the page
BUCKETS = ("word_frequency", "source_length", "position")


def primary_of(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metric that decides."""
    return next(metric for metric in results["metrics"] if metric["primary"])


def figures(results: Mapping[str, Any], width: float) -> dict[str, Figure]:
    """Name of its file -> figure; only of what the results have, whatever the width."""
    primary = primary_of(results)
    found = {
        "differences": differences(results, primary, width),
        "seeds": seeds(results, primary, width),
        "curves": learning_curves(results, width),
    }
    analysis = results["analysis"] or {}
    if results["task"] == "glue":
        found["tasks"] = tasks(results, width)
    for kind in BUCKETS:
        if analysis.get(kind):
            found[kind] = by_bucket(results, analysis[kind], width)
    if results["tuning"]:
        found["tuning"] = settings(results, width)
        found["length_penalty"] = length_penalties(results, width)
    return {name: figure for name, figure in found.items() if figure is not None}
