"""A score by the length of the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .buckets import bucket_of, labels_of, table
from .units import Units

#: the least number of words of each bucket
LENGTHS = (0, 11, 21, 31, 41, 51, 61)


def source_length(systems: Mapping[str, Sequence[Units]], lengths: Sequence[int]) -> dict[str, Any]:
    """The score of the sentences of a length.

    Args:
        systems: name -> each seed by one measure, by sentences.
        lengths: words of each source sentence.
    """
    buckets = bucket_of(lengths, LENGTHS)
    measure = next(iter(systems.values()))[0].measure
    rows = {
        name: [[units.part(buckets == number) for number in range(len(LENGTHS))] for units in seeds]
        for name, seeds in systems.items()
    }
    counts = np.bincount(buckets, minlength=len(LENGTHS))
    title = f"{measure.name} by length of the source"
    return table(title, "words of the source", measure.name, measure.higher_is_better, labels_of(LENGTHS), counts, rows)
