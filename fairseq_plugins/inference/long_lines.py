"""Lines that are longer than a model takes, in parts that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable

#: after what a line may be cut, the best place first: a sentence, white space, any character
SEPARATORS = (
    re.compile("(?<=[.!?\u2026])[\"')\\]\u00bb\u201d\u2019]*\\s+|(?<=[\u3002\uff01\uff1f])"),
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
        if length(part) <= limit or level == len(SEPARATORS) - 1:
            made.append((part, level))
        else:
            made += parts(part, length, limit, level + 1)
    return made


def _cut(line: str, length: Callable[[str], int], limit: int, level: int) -> list[str]:
    found: list[str] = []
    total = begin = 0
    for end in [*(match.end() for match in SEPARATORS[level].finditer(line)), len(line)]:
        piece, begin = line[begin:end], end
        size = length(piece.strip())
        if found and level and total + size <= limit:
            found[-1] += piece
            total += size
        else:
            found.append(piece)
            total = size
    return [text.strip() for text in found if text.strip()]
