"""Validation and test sets cut from one parallel text."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from fairseq_plugins.errors import UserError

Pairs = Iterable[tuple[str, str]]


def choose(pairs: Callable[[], Pairs], count: int, seed: int) -> list[int]:
    """Numbers, from 0, of ``count`` pairs for held-out sets, in random order.

    The order follows from a hash of seed and text: it does not depend on where a pair stands. No side is empty, and no
    sentence of either language is chosen twice, so that sets cut from the list share none.

    Args:
        pairs: gives all pairs anew at each call; they are held in memory no more than needed.
        count: pairs wanted.
        seed: another one, other pairs.

    Raises:
        UserError: there are not so many, or no other pair would be left.
    """
    looked_at = 2 * count
    while True:
        first = heapq.nsmallest(looked_at, _shuffled(pairs(), seed))
        chosen = _different(first)
        if len(chosen) >= count and len(first) > count:
            return chosen[:count]
        if len(first) < looked_at:
            raise UserError(
                f"{count} pairs cannot be set apart of {len(first)} without an empty side, {len(chosen)} of them "
                "different on both sides; ask for fewer"
            )
        looked_at *= 2


def _shuffled(pairs: Pairs, seed: int) -> Iterator[tuple[bytes, int, str, str]]:
    for number, (source, target) in enumerate(pairs):
        if source.strip() and target.strip():
            key = blake2b(f"{seed}\n{source}\n{target}".encode(), digest_size=16).digest()
            yield key, number, source, target


def _different(shuffled: list[tuple[bytes, int, str, str]]) -> list[int]:
    """The numbers of the pairs that share no side with one before."""
    sources: set[str] = set()
    targets: set[str] = set()
    chosen = []
    for _, number, source, target in shuffled:
        sides = " ".join(source.split()), " ".join(target.split())
        if sides[0] not in sources and sides[1] not in targets:
            chosen.append(number)
            sources.add(sides[0])
            targets.add(sides[1])
    return chosen
