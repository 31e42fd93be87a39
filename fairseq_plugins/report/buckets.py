"""Numbers by buckets of a quantity, a table that each variant has a row of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: the least count of each bucket of counts in the training text
FREQUENCIES = (0, 1, 2, 5, 10, 100, 1000)


def labels_of(bounds: Sequence[int]) -> list[str]:
    """``0``, ``1``, ``2-4``, ``5+`` of the least values (0, 1, 2, 5)."""
    pairs = itertools.pairwise(bounds)
    spans = [f"{low:,}" if high == low + 1 else f"{low:,}-{high - 1:,}" for low, high in pairs]
    return [*spans, f"{bounds[-1]:,}+"]


def bucket_of(values: Any, bounds: Sequence[int]) -> np.ndarray:
    """The number of each value's bucket; values are at least the least bound."""
    return np.searchsorted(bounds, values, side="right") - 1


def table(
    title: str,
    axis: str,
    value: str,
    higher_is_better: bool,
    labels: Sequence[str],
    counts: Sequence[int] | np.ndarray,
    variants: Mapping[str, Sequence[Sequence[float] | np.ndarray]],
) -> dict[str, Any]:
    """The buckets as plain data, the empty ones left out.

    Args:
        title: what is shown.
        axis: the quantity.
        value: what the numbers are.
        counts: how much is in each bucket.
        variants: name -> for each seed a number a bucket; the table has their means.
    """
    there = [number for number, count in enumerate(counts) if count]
    means = {name: [math.fsum(row[n] for row in rows) / len(rows) for n in there] for name, rows in variants.items()}
    return {
        "title": title,
        "axis": axis,
        "value": value,
        "higher_is_better": higher_is_better,
        "labels": [labels[number] for number in there],
        "counts": [int(counts[number]) for number in there],
        "variants": {
            name: [float(mean) if math.isfinite(mean) else None for mean in row] for name, row in means.items()
        },
    }
