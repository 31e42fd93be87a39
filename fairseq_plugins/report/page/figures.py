"""Which figures a study has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .axes import WIDE
from .buckets import by_bucket
from .curves import learning_curves
from .forest import differences, seeds, tasks
from .marks import Figure
from .trials import length_penalties, settings

#: kinds of buckets, in the order of the page
BUCKETS = ("word_frequency", "source_length", "position")

Drawing = Callable[[float], "Figure | None"]


def primary_of(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metric that decides."""
    return next(metric for metric in results["metrics"] if metric["primary"])


def drawings(results: Mapping[str, Any]) -> dict[str, Drawing]:
    """Name of its file -> what draws a figure at a width; only of what the results have."""
    primary = primary_of(results)
    found: dict[str, Drawing] = {
        "differences": partial(differences, results, primary),
        "seeds": partial(seeds, results, primary),
        "curves": partial(learning_curves, results),
    }
    analysis = results["analysis"] or {}
    if results["task"] == "glue":
        found["tasks"] = partial(tasks, results)
    for kind in BUCKETS:
        if analysis.get(kind):
            found[kind] = partial(by_bucket, results, analysis[kind])
    if results["tuning"]:
        found["tuning"] = partial(settings, results)
        found["length_penalty"] = partial(length_penalties, results)
    return {name: draw for name, draw in found.items() if draw(WIDE) is not None}
