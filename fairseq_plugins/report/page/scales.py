"""From values to pixels, and the values that an axis names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .numerals import number


@dataclass(frozen=True)
class Scale:
    """A line from values to pixels; ``end`` may lie before ``start``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def around(values: Iterable[float], start: float, end: float, margin: float = 0.06) -> Scale:
    """A scale that holds all values and a margin of its length on both sides; round ones where there are no values."""
    there = list(values) or [0.0, 1.0]
    low, high = min(there), max(there)
    room = (high - low) * margin or abs(high) * 0.05 or 0.5
    return Scale(low - room, high + room, start, end)


def ticks(scale: Scale, count: int = 5) -> list[tuple[float, str]]:
    """About ``count`` round values on a scale, each with its name."""
    rough = (scale.high - scale.low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(times for times in (1, 2, 2.5, 5, 10) if times * power >= rough * (1 - 1e-9))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    digits += round(step * 10**digits, 6) % 1 > 0
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [(place * step, number(place * step, digits)) for place in range(first, last + 1)]


def apart(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """The places, moved so that they are ``gap`` apart and within bounds where there is room; their order stays."""
    if not places:
        return []
    gap = min(gap, (high - low) / max(1, len(places) - 1))
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    groups: list[tuple[list[int], float]] = []  # members, and the place of the first
    for index in order:
        groups.append(([index], min(max(places[index], low), high)))
        while len(groups) > 1 and groups[-1][1] < groups[-2][1] + gap * len(groups[-2][0]):
            members = groups.pop(-2)[0] + groups.pop()[0]
            first = sum(places[member] - gap * rank for rank, member in enumerate(members)) / len(members)
            groups.append((members, min(max(first, low), high - gap * (len(members) - 1))))
    found = list(places)
    for members, first in groups:
        for rank, member in enumerate(members):
            found[member] = first + gap * rank
    return found
