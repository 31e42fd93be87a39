"""How well words are translated, by how often the training text has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .buckets import FREQUENCIES, bucket_of, labels_of, table
from .units import ratio

Sentences = Sequence[Sequence[str]]


def word_frequency(
    systems: Mapping[str, Sequence[Sentences]], references: Sentences, training: Mapping[str, int]
) -> dict[str, Any]:
    """F1 of words by their frequency in the training text, as compare-mt has it.

    A word of a sentence counts as right as often as hypothesis and reference both have it.

    Args:
        systems: name -> the translations of each seed, sentences of words.
        references: sentences of words.
        training: word -> how often the training text has it.
    """
    counts = _in_buckets(references, training)
    rows = {}
    for name, seeds in systems.items():
        rows[name] = [
            100
            * ratio(
                2 * _in_buckets(_matched(hypotheses, references), training), _in_buckets(hypotheses, training) + counts
            )
            for hypotheses in seeds
        ]
    labels = labels_of(FREQUENCIES)
    return table("Words by frequency", "occurrences in the training text", "F1 of words", True, labels, counts, rows)


def _matched(hypotheses: Sentences, references: Sentences) -> Sentences:
    """The words of each sentence that both have."""
    pairs = zip(hypotheses, references)
    return [list((Counter(hypothesis) & Counter(reference)).elements()) for hypothesis, reference in pairs]


def _in_buckets(sentences: Sentences, training: Mapping[str, int]) -> np.ndarray:
    """How many words of each frequency."""
    frequencies = [training.get(word, 0) for words in sentences for word in words]
    return np.bincount(bucket_of(frequencies, FREQUENCIES), minlength=len(FREQUENCIES))
