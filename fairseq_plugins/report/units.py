"""A score as a function of sums over the units of a test set, for whoever leaves some out or draws others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Measure:
    """A metric that is a function of sums over the units (sentences, blocks, examples) of a test set.

    Attributes:
        digits: of a value in a table.
        signature: sacreBLEU's, or a sentence that says what is measured.
        of_sums: scores (...) of sums (..., k).
    """

    name: str
    higher_is_better: bool
    digits: int
    signature: str
    of_sums: Callable[[np.ndarray], np.ndarray]


class Units(NamedTuple):
    """One run by one measure; ``sums`` (N, k), float64, has a row for each unit, in the order of the test set."""

    measure: Measure
    sums: np.ndarray

    @property
    def score(self) -> float:
        """Of the whole test set."""
        return float(self.measure.of_sums(self.sums.sum(axis=0)))

    def part(self, chosen: np.ndarray) -> float:
        """Of the units that are true in ``chosen`` (N,), bool."""
        return float(self.measure.of_sums(self.sums[chosen].sum(axis=0)))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=np.asarray(whole) != 0)
