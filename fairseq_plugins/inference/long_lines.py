"""Lines that are longer than a model takes, in parts that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable

#: after what a line may be cut, the best place first: a sentence (not an initial), white space, any character
SEPARATORS = (
    re.compile("(?<=[.!?\u2026])(?<!\\b\\w\\.)[\"')\\]\u00bb\u201d\u2019]*\\s+|(?<=[\u3002\uff01\uff1f])"),
    re.compile(r"\s+"),
    re.compile(r"(?<=.)"),
)


def parts(line: str, length: Callable[[str], int], limit: int, level: int = 0) -> list[tuple[str, int]]:
    """A line in parts of at most ``limit`` pieces: its sentences, and of one that is longer as few parts as possible.

    Args:
        line: raw text.
        length: how many pieces the model makes of a text.
        limit: the longest part.
        level: the first of :data:`SEPARATORS` that is tried.

    Returns:
        The parts, and for each at which separator, by number, it was cut off.
    """
    made: list[tuple[str, int]] = []
    for part in _cut(line, length, limit, level):
        # words may have more pieces together than each for itself
        for piece in [part] if length(part) <= limit or not level else _cut(part, length, limit, level, exact=True):
            if length(piece) <= limit or level + 1 == len(SEPARATORS):
                made.append((piece, level))
            else:
                made += parts(piece, length, limit, level + 1)
    return made


def _cut(line: str, length: Callable[[str], int], limit: int, level: int, exact: bool = False) -> list[str]:
    """At every separator, then together again as far as they fit, by the sum of their lengths or by their own."""
    nothing = length("")
    found: list[str] = []
    total = begin = 0
    for end in [*(match.end() for match in SEPARATORS[level].finditer(line)), len(line)]:
        piece, begin = line[begin:end], end
        size = length(piece.strip()) - nothing
        fits = length((found[-1] + piece).strip()) <= limit if exact and found else total + size + nothing <= limit
        if found and level and fits:
            found[-1] += piece
            total += size
        else:
            found.append(piece)
            total = size
    return [text.strip() for text in found if text.strip()]
