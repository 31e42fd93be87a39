"""The sentences that two models translate most differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .translations import Translation
from .units import Units

#: digits of a score; sentences that differ by less come in their order
DIGITS = 9


def most_different_sentences(
    variant: Sequence[Translation],
    baseline: Sequence[Translation],
    scores: tuple[Sequence[Units], Sequence[Units]],
    sources: Sequence[str] | None = None,
    number: int = 20,
) -> list[dict[str, Any]]:
    """The sentences whose mean scores over the seeds differ most, in either direction.

    Of either side that output stands for the others whose score is nearest to their mean.

    Args:
        variant: its runs in the order of the seeds.
        baseline: its runs.
        scores: of both by a measure that is one of single sentences, too, such as chrF2.
        sources: of the sentences (None: not known).
        number: of sentences, at most; those without a difference are left out.
    """
    by_seed = [np.array([units.measure.of_sums(units.sums) for units in runs]) for runs in scores]
    ours, theirs = (side.mean(axis=0).round(DIGITS) for side in by_seed)
    mine, other = (np.abs(side - side.mean(axis=0)).round(DIGITS).argmin(axis=0) for side in by_seed)
    differences = np.abs(ours - theirs).round(DIGITS)
    order = np.argsort(-differences, kind="stable")[:number]
    return [
        {
            "number": int(place) + 1,
            "source": None if sources is None else sources[place],
            "reference": baseline[0].references[place],
            "baseline": baseline[other[place]].hypotheses[place],
            "variant": variant[mine[place]].hypotheses[place],
            "baseline_score": float(theirs[place]),
            "variant_score": float(ours[place]),
        }
        for place in order
        if differences[place] > 0
    ]
