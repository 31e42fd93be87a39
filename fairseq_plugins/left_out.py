"""What an evaluation did not look at, counted where the batches are made, whatever the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fairseq_plugins.errors import UserError


class EvaluationError(UserError):
    """Data that cannot be evaluated as asked: one sentence with the remedy."""


@dataclass
class LeftOut:
    """The sum over the batch iterators of one evaluation.

    ``unit`` is what the data consist of; ``tokens`` are those of the source where there are two sides.
    """

    unit: str = "sentences"
    total: int = 0
    missing: int = 0
    tokens: int = 0
    #: most positions, of each side of pairs
    limit: Any = None

    def add(self, batches: Any) -> None:
        """Count what is in the dataset of an ``EpochBatchIterator`` and in none of its batches, in no shard of them."""
        absent = np.ones(len(batches.dataset), dtype=bool)
        for batch in batches.frozen_batches:
            numbers = np.asarray(batch, dtype=np.int64)
            absent[numbers[numbers < len(absent)]] = False
        self.total += len(absent)
        self.missing += int(absent.sum())
        self.tokens += sum(tokens_of(batches.dataset.size(number)) for number in absent.nonzero()[0])

    def __bool__(self) -> bool:
        return self.missing > 0

    @property
    def amount(self) -> str:
        """How much of how much."""
        return f"{self.missing:,} of {self.total:,} {self.unit} ({self.tokens:,} tokens)"

    @property
    def reason(self) -> str:
        """Longer than what."""
        if isinstance(self.limit, (tuple, list)) and len(self.limit) == 2:
            return f"longer than the model takes (source {self.limit[0]}, target {self.limit[1]} tokens)"
        return "longer than the model takes" + ("" if self.limit is None else f" ({self.limit} tokens)")

    def __str__(self) -> str:
        return f"{self.amount} were left out: {self.reason}"


def tokens_of(size: Any) -> int:
    """The source tokens of a sample's size, of both sides of a pair or of the pairs of several languages."""
    if isinstance(size, dict):
        size = next(iter(size.values()))
    return int(size[0] if isinstance(size, (tuple, list)) else size)
