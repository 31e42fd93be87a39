"""Lines that are longer than a model takes, in parts that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable

#: where a line may be cut, the best place first: after a sentence, at white space, anywhere
SEPARATORS = (
    re.compile("(?<=[.!?\u2026])[\"')\\]\u00bb\u201d\u2019]*\\s+|(?<=[\u3002\uff01\uff1f])"),
    re.compile(r"\s+"),
    re.compile(r"(?<=.)(?=.)"),
)


def parts(line: str, length: Callable[[str], int], limit: int, level: int = 0) -> list[tuple[str, int]]:
    """A line in parts of at most ``limit`` pieces, as few as their order allows.

    Args:
        line: raw text.
        length: how many pieces the model makes of a text.
        limit: the longest part.
        level: the first of :data:`SEPARATORS` that is tried.

    Returns:
        The parts, and for each at which separator, by number, it was cut off from the line.
    """
    if length(line) <= limit or level == len(SEPARATORS):
        return [(line, max(level - 1, 0))]
    found: list[str] = []
    total = limit
    begin = 0
    for end in [*(match.start() for match in SEPARATORS[level].finditer(line)), len(line)]:
        piece = line[begin:end]
        begin, size = end, length(piece.strip())
        if found and total + size <= limit:
            found[-1] += piece
            total += size
        else:
            found.append(piece)
            total = size
    made: list[tuple[str, int]] = []
    for part in (text.strip() for text in found):
        if length(part) <= limit:
            made.append((part, level))
        else:
            made += parts(part, length, limit, level + 1)
    return made
