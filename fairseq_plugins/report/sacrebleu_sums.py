"""sacreBLEU's scores of many sums of its statistics at once: BLEU, chrF2 and TER, as its classes compute them.

After ``BLEU.compute_bleu`` (smoothing ``exp``), ``CHRF._compute_f_score`` and ``TER._compute_score_from_stats`` of
sacreBLEU, for their settings by default.
"""

from __future__ import annotations

import numpy as np

from .units import ratio

BETA = 2


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU (...) of the lengths of hypothesis and reference, n-grams matched, and n-grams in all (..., 2 + 2n)."""
    length, reference = sums[..., 0], sums[..., 1]
    matched, total = np.split(sums[..., 2:], 2, axis=-1)
    # every order without a match is taken for half as many as the one before
    halvings = np.cumsum(matched == 0, axis=-1)
    part, whole = np.where(matched == 0, 1.0, matched), np.where(matched == 0, 2.0**halvings, 1.0) * total
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.where(length < reference, np.exp(1 - reference / length), 1.0)
        score = penalty * np.exp(np.log(100 * part / whole).sum(axis=-1) / total.shape[-1])
    return np.where((matched > 0).any(axis=-1) & (total > 0).all(axis=-1), score, 0.0)


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF2 (...) of n-grams in the hypothesis, in the reference and matched, for each order (..., 3n)."""
    hypothesis, reference, matched = (sums[..., start::3] for start in range(3))
    there = (hypothesis > 0) & (reference > 0)
    orders = there.sum(axis=-1)
    precision = ratio(np.where(there, ratio(matched, hypothesis), 0.0).sum(axis=-1), orders)
    recall = ratio(np.where(there, ratio(matched, reference), 0.0).sum(axis=-1), orders)
    return 100 * ratio((1 + BETA**2) * precision * recall, BETA**2 * precision + recall)


def ter(sums: np.ndarray) -> np.ndarray:
    """TER (...) of edits and words of the reference (..., 2); 100 for words where the reference has none."""
    edits, words = sums[..., 0], sums[..., 1]
    return 100 * np.where(words > 0, ratio(edits, words), (edits > 0).astype(float))
