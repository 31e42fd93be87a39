"""Where a test set is easier or harder: values by bucket, and differences to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .axes import NARROW, across, end_labels, legend
from .curves import TOGETHER
from .marks import Figure, Line, Mark, Marker, Text, bar, label, rule, side_by_side
from .numerals import amount, number, signed
from .palette import series
from .scales import Scale, around

Values = Sequence[float | None]


def by_bucket(results: Mapping[str, Any], found: Mapping[str, Any], width: float) -> Figure | None:
    """Values above, differences to the baseline below; of many variants the differences alone, a panel each."""
    rows = [
        (place, model["name"], found["variants"][model["name"]])
        for place, model in enumerate(results["variants"])
        if model["name"] in found["variants"]
    ]
    base = next((values for place, _, values in rows if place == 0), None)
    against = [(place, name, _minus(values, base)) for place, name, values in rows if place and base is not None]
    if not any(value is not None for *_, values in rows for value in values):
        return None
    if len(rows) > TOGETHER and against:
        return _many(found, against, width)
    beside = 150 if width > NARROW else 0
    left, right = 44.0, width - beside - 10
    last = len(found["labels"]) - 1
    x = Scale(-0.35, last + (0.0 if beside else 0.35), left, right)
    marks: list[Mark] = []
    top = 24.0
    if not beside:
        marks, high = legend([(place, name) for place, name, _ in rows], 0, 0, width)
        top += high
    middle = top + 190
    marks += [Text(0, top - 10, found["value"], colour="muted", size=11.5)]
    marks += _lines(rows, x, around(_there(rows), middle, top), left, right, width, bool(beside))
    bottom = middle
    if against:
        bottom = middle + 152
        y = around([0.0, *_there(against)], bottom, middle + 38, 0.12)
        marks += [Text(0, middle + 26, f"difference to {results['baseline']}", colour="muted", size=11.5)]
        marks += _lines(against, x, y, left, right, width, bool(beside), 3)
        marks.append(rule(left, y(0), right, y(0), "ink"))
    marks += _labels(found, x, bottom, beside > 0)
    marks.append(Text((left + right) / 2, bottom + 52, found["axis"], "middle", "muted", 11.5))
    texts = [
        f"{name}: " + ", ".join(f"{of} {number(value, 2)}" for of, value in zip(found["labels"], values))
        for _, name, values in rows
    ]
    return Figure(f"{found['title']}: {found['value']}", ". ".join(texts) + ".", width, bottom + 58, marks)


def _lines(
    rows: Sequence[tuple[int, str, Values]],
    x: Scale,
    y: Scale,
    left: float,
    right: float,
    width: float,
    named: bool,
    count: int = 5,
) -> list[Mark]:
    marks: list[Mark] = across(y, left, right, count)
    ends = []
    for place, name, values in rows:
        look = series(place)
        there = [(x(at), y(value)) for at, value in enumerate(values) if value is not None]
        marks.append(Line(tuple(there), look.colour, 1.8, look.dash))
        marks += [
            Marker(x(at), y(value), look.shape, look.colour, 3.8, name=f"{name}: {number(value, 3)}")
            for at, value in enumerate(values)
            if value is not None
        ]
        if there:
            ends.append((place, name, there[-1][1]))
    return marks + (end_labels(ends, right, width - right, min(y.start, y.end), max(y.start, y.end)) if named else [])


def _labels(found: Mapping[str, Any], x: Scale, bottom: float, counts: bool) -> list[Mark]:
    marks: list[Mark] = []
    for at, (name, count) in enumerate(zip(found["labels"], found["counts"])):
        marks.append(Text(x(at), bottom + 18, name, "middle", size=11.5 if counts else 10.5))
        if counts:
            marks.append(Text(x(at), bottom + 34, f"n = {amount(count)}", "middle", "muted", 11.0))
    return marks


def _many(found: Mapping[str, Any], against: Sequence[tuple[int, str, Values]], width: float) -> Figure:
    size = width if width <= NARROW else (width - 48) / 3
    left, right, top, bottom = 44.0, size - 8, 26.0, 130.0
    x = Scale(-0.5, len(found["labels"]) - 0.5, left, right)
    y = around([0.0, *_there(against)], bottom, top, 0.1)
    panels = []
    for place, name, values in against:
        look = series(place)
        marks: list[Mark] = [Marker(6, 9, look.shape, look.colour), label(17, 13, name, size - 20, bold=True)]
        marks += across(y, left, right, 3)
        for at, value in enumerate(values):
            if value is not None:
                edge, wide = min(y(0), y(value)), (x(1) - x(0)) * 0.66
                told = f"{found['labels'][at]}: {signed(value, 3)}"
                marks.append(bar(x(at) - wide / 2, edge, wide, abs(y(0) - y(value)), look.colour, 0.85, told))
        marks.append(rule(left, y(0), right, y(0), "ink"))
        marks += [
            Text(x(at), bottom + 16, found["labels"][at], anchor, "muted", 11.0)
            for at, anchor in ((0, "start"), (len(found["labels"]) - 1, "end"))
        ]
        texts = ", ".join(f"{of} {signed(value, 2)}" for of, value in zip(found["labels"], values))
        panels.append(Figure(name, f"{texts}.", size, bottom + 22, marks))
    return side_by_side(panels, width, f"{found['title']}: {found['value']}, difference to the baseline")


def _minus(values: Values, base: Values) -> Values:
    return [None if one is None or other is None else one - other for one, other in zip(values, base)]


def _there(rows: Sequence[tuple[int, str, Values]]) -> list[float]:
    return [value for *_, values in rows for value in values if value is not None]
