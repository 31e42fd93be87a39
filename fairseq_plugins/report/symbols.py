"""The loss of a language model by the frequency of a symbol in the training text, and by its position in the block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairseq_plugins.dictionary import load_dictionary
from fairseq_plugins.lines import PathLike

from .buckets import FREQUENCIES, bucket_of, labels_of, table
from .losses_by_block import TokenLosses
from .units import ratio

#: dict.txt has no counts of fairseq's own symbols, such as </s>
SPECIAL = -1
BOUNDS = (SPECIAL, *FREQUENCIES, 10_000, 100_000)


def symbol_frequencies(dictionary: PathLike) -> np.ndarray:
    """How often the training text has each symbol (V,), by ``dict.txt``; :data:`SPECIAL` for fairseq's own symbols.

    Raises:
        CorpusError: as :func:`.load_dictionary`.
    """
    loaded = load_dictionary(dictionary)
    return np.array([SPECIAL] * loaded.nspecial + loaded.count[loaded.nspecial :])


def symbol_frequency(systems: Mapping[str, Sequence[TokenLosses]], frequencies: np.ndarray) -> dict[str, Any]:
    """Mean loss of the symbols of a frequency.

    Args:
        systems: name -> the losses of each seed, all of the same tokens.
        frequencies: of each symbol (V,); a symbol beyond them, such as ``<mask>``, is one of fairseq's own.
    """
    known = np.append(frequencies, SPECIAL)
    labels = ["special", *labels_of(BOUNDS[1:])]

    def buckets(losses: TokenLosses) -> np.ndarray:
        return bucket_of(known[np.minimum(losses.symbol, len(frequencies))], BOUNDS)

    return _by_buckets("Loss by frequency", "occurrences in the training text", labels, systems, buckets)


def position_in_block(systems: Mapping[str, Sequence[TokenLosses]]) -> dict[str, Any]:
    """Mean loss of the tokens of a position, counted from 1, in buckets that are each twice as wide as the one before.

    Args:
        systems: name -> the losses of each seed, all of the same tokens.
    """
    last = max(int(losses.position.max()) for seeds in systems.values() for losses in seeds) + 1
    bounds = [2**power for power in range(last.bit_length())]
    labels = [f"{bound:,}" if bound == 1 else f"{bound:,}-{2 * bound - 1:,}" for bound in bounds]
    return _by_buckets(
        "Loss by position",
        "position in the block",
        labels,
        systems,
        lambda losses: bucket_of(losses.position + 1, bounds),
    )


def _by_buckets(title: str, axis: str, labels: Sequence[str], systems: Any, buckets: Any) -> dict[str, Any]:
    def row(losses: TokenLosses) -> np.ndarray:
        number = buckets(losses)
        sums = np.bincount(number, losses.loss, len(labels))
        return ratio(sums, np.bincount(number, minlength=len(labels)))

    first = next(iter(systems.values()))[0]
    counts = np.bincount(buckets(first), minlength=len(labels))
    rows = {name: [row(losses) for losses in seeds] for name, seeds in systems.items()}
    return table(title, axis, "loss, nats a token", False, labels, counts, rows)
