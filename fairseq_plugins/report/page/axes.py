"""What figures share: grids with named values, names at the ends of lines, legends."""

from __future__ import annotations

from collections.abc import Sequence

from .marks import Line, Mark, Marker, Text, label, rule
from .palette import series
from .scales import Scale, apart, ticks

#: the two widths that every figure is drawn in: of a page, and of a telephone
WIDE, NARROW = 860.0, 328.0


def across(scale: Scale, left: float, right: float, count: int = 5) -> list[Mark]:
    """Horizontal rules at round values, named on their left."""
    found: list[Mark] = []
    for value, name in ticks(scale, count):
        y = scale(value)
        found += [
            rule(left, y, right, y),
            Text(left - 8, y + 4, name, anchor="end", colour="muted", size=11.5),
        ]
    return found


def down(scale: Scale, top: float, bottom: float, count: int = 5, rules: bool = True) -> list[Mark]:
    """Vertical rules at round values, named below; or only a short stroke for each."""
    found: list[Mark] = []
    for value, name in ticks(scale, count):
        x = scale(value)
        found += [
            rule(x, top if rules else bottom - 4, x, bottom, "rule" if rules else "axis"),
            Text(x, bottom + 17, name, anchor="middle", colour="muted", size=11.5),
        ]
    return found


def end_labels(ends: Sequence[tuple[int, str, float]], x: float, room: float, low: float, high: float) -> list[Mark]:
    """Names beside the ends of lines: (place of the variant, name, y of its line), moved apart where they collide."""
    found: list[Mark] = []
    for (place, name, y), free in zip(ends, apart([y for _, _, y in ends], 16, low, high)):
        look = series(place)
        if abs(free - y) > 3:
            found.append(Line(((x + 2, y), (x + 12, free)), "axis", 0.8))
        found += [
            Marker(x + 19, free, look.shape, look.colour),
            label(x + 29, free + 4, name, room - 29, size=12.0),
        ]
    return found


def legend(names: Sequence[tuple[int, str]], left: float, top: float, width: float) -> tuple[list[Mark], float]:
    """Symbols and names in rows; also how high they are."""
    found: list[Mark] = []
    x, y = left, top
    for place, name in names:
        look = series(place)
        room = min(width, 24 + 7.2 * len(name))
        if x > left and x + room > left + width:
            x, y = left, y + 19
        found += [Marker(x + 5, y + 8, look.shape, look.colour), label(x + 15, y + 12, name, room - 15, size=12.0)]
        x += room
    return found, y + 22 - top if names else 0.0
