"""Two sentences word by word: what one has and the other has not."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import NamedTuple


class Piece(NamedTuple):
    """Neighbouring words of one kind.

    Args:
        differs: the other system has something else here.
        wrong: the reference has something else here.
    """

    text: str
    differs: bool
    wrong: bool


def unmatched(words: Sequence[str], other: Sequence[str]) -> list[bool]:
    """For each word, whether the other text has none in its place, by longest matching blocks."""
    found = [True] * len(words)
    for start, _, length in SequenceMatcher(None, words, other, autojunk=False).get_matching_blocks():
        found[start : start + length] = [False] * length
    return found


def pieces(text: str, other: str, reference: str) -> list[Piece]:
    """A hypothesis in pieces, which joined by blanks are its words, against another system's and the reference."""
    words = text.split()
    kinds = zip(words, unmatched(words, other.split()), unmatched(words, reference.split()))
    return [
        Piece(" ".join(word for word, *_ in group), differs, wrong)
        for (differs, wrong), group in groupby(kinds, key=lambda kind: kind[1:])
    ]
