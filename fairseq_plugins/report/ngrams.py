"""N-grams of words: what a translation has of its reference, and what one system has and another has not.

After compare-mt (Neubig et al., NAACL 2019, arXiv 1903.07926).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections import Counter as CounterType
from collections.abc import Iterator, Sequence

Ngram = tuple[str, ...]


def counted(words: Sequence[str], longest: int = 4) -> CounterType[Ngram]:
    """How often a sentence has each n-gram of up to ``longest`` words."""
    return Counter(
        tuple(words[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(words) - length + 1)
    )


def mean_matches(
    systems: Sequence[Sequence[Sequence[str]]], references: Sequence[Sequence[str]], longest: int = 4
) -> dict[Ngram, float]:
    """How many of each n-gram of the references a model's translations have, sentence by sentence, mean over its seeds.

    Args:
        systems: one for each seed, of sentences of words.
        references: sentences of words.
    """
    total: CounterType[Ngram] = Counter()
    for number, reference in enumerate(references):
        expected = counted(reference, longest)
        for sentences in systems:
            total.update(counted(sentences[number], longest) & expected)
    return {ngram: count / len(systems) for ngram, count in total.items()}


def most_different(
    ours: dict[Ngram, float], baseline: dict[Ngram, float], number: int = 15
) -> dict[str, list[tuple[str, float, float]]]:
    """The n-grams that a variant matches more often than the baseline (``gained``) and less often (``lost``).

    An n-gram that is a part of a longer one in the list with the same matches is left out.

    Args:
        ours: matches, of :func:`mean_matches`.
        baseline: its matches.
        number: of n-grams, at most, in either list.

    Returns: n-gram, the variant's matches, the baseline's, the most different first.
    """
    pairs = {ngram: (ours.get(ngram, 0.0), baseline.get(ngram, 0.0)) for ngram in {**ours, **baseline}}
    found = {}
    for name, sign in (("gained", 1), ("lost", -1)):
        candidates = [(sign * (mine - theirs), ngram) for ngram, (mine, theirs) in pairs.items()]
        ordered = sorted((-gain, -len(ngram), ngram) for gain, ngram in candidates if gain > 0)
        taken: list[Ngram] = []
        for _, _, ngram in ordered:
            if len(taken) == number:
                break
            # of equal matches the longer ones come first
            if not any(pairs[longer] == pairs[ngram] and ngram in _parts(longer, len(ngram)) for longer in taken):
                taken.append(ngram)
        found[name] = [(" ".join(ngram), *pairs[ngram]) for ngram in taken]
    return found


def _parts(words: Ngram, length: int) -> Iterator[Ngram]:
    return zip(*(itertools.islice(words, start, None) for start in range(length)))
