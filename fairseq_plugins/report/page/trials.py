"""What tuning tried: validation loss by option, and BLEU by length penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .axes import NARROW, across
from .marks import Figure, Line, Mark, Marker, Text, label, side_by_side
from .numerals import number
from .palette import DASHES, Series, series
from .scales import Scale, apart, around


def settings(results: Mapping[str, Any], width: float) -> Figure | None:
    """A panel a variant; the first option along it, a line for each choice of the others."""
    tuning = results["tuning"]
    options = [option for option, values in tuning["grid"].items() if len(values) > 1]
    if not options:
        return None
    first, *others = sorted(options, key=lambda option: -len(tuning["grid"][option]))
    values = [str(value) for value in tuning["grid"][first]]
    places = {variant["name"]: place for place, variant in enumerate(results["variants"])}
    tuned = [variant for variant in tuning["variants"] if variant["name"] in places]
    every = [trial["loss"] for variant in tuned for trial in variant["trials"] if trial["loss"] is not None]
    panels = []
    for variant in tuned:
        lines: dict[str, list[tuple[int, float, bool]]] = {}
        for trial in variant["trials"]:
            key = " · ".join(f"{trial['options'].get(option)}" for option in others)
            if trial["loss"] is not None and str(trial["options"].get(first)) in values:  # not what diverged
                at = values.index(str(trial["options"][first]))
                lines.setdefault(key, []).append((at, trial["loss"], trial["chosen"]))
        beside = " · ".join(map(_bare, others))
        panels.append(
            _panel(variant["name"], places[variant["name"]], lines, every, values, _bare(first), beside, width, 3)
        )
    return side_by_side(panels, width, f"Tuning: {tuning['criterion']} of what was tried") if panels else None


def length_penalties(results: Mapping[str, Any], width: float) -> Figure | None:
    """A panel a variant."""
    places = {variant["name"]: place for place, variant in enumerate(results["variants"])}
    tuned = [one for one in results["tuning"]["variants"] if one["name"] in places and one["length_penalty"]]
    every = [one["score"] for variant in tuned for one in variant["length_penalty"] if one["score"] is not None]
    panels = []
    for variant in tuned:
        tried = [one for one in variant["length_penalty"] if one["score"] is not None]
        line = {"": [(place, one["score"], one["chosen"]) for place, one in enumerate(tried)]}
        values = [f"{one['value']:g}" for one in tried]
        panels.append(
            _panel(variant["name"], places[variant["name"]], line, every, values, "length penalty", "", width, 2)
        )
    return side_by_side(panels, width, "Tuning: BLEU on the validation set by length penalty") if panels else None


def _panel(
    name: str,
    place: int,
    lines: Mapping[str, list[tuple[int, float, bool]]],
    every: list[float],
    values: list[str],
    axis: str,
    beside: str,
    width: float,
    digits: int,
) -> Figure:
    look: Series = series(place)
    size = width if width <= NARROW else (width - 48) / 3
    left, right, top, bottom = 44.0, size - (52 if beside else 12), 40.0, 150.0
    x = Scale(-0.3, len(values) - 0.7, left, right)
    y = around(every, bottom, top, 0.1)
    marks: list[Mark] = [Marker(6, 9, look.shape, look.colour), label(17, 13, name, size - 20, bold=True)]
    marks += across(y, left, right, 3)
    marks += [Text(x(place), bottom + 17, value, "middle", "muted", 11.5) for place, value in enumerate(values)]
    marks.append(Text((left + right) / 2, bottom + 33, axis, "middle", "muted", 11.5))
    if beside:
        marks.append(label(right + 10, 30, beside, size - right + 20, colour="muted", size=11.5))
    told, ends = [], []
    for turn, (key, points) in enumerate(lines.items()):
        at = sorted(points)
        marks.append(Line(tuple((x(p), y(v)) for p, v, _ in at), "muted", 1.2, DASHES[turn % 4]))
        for p, value, chosen in at:
            said = f"{axis} {values[p]}{', ' + beside + ' ' + key if beside else ''}: {number(value, digits)}"
            marks.append(Marker(x(p), y(value), look.shape, look.colour, 6.0 if chosen else 3.5, chosen, name=said))
            if chosen:
                told.append(f"chosen: {said}")
        ends.append((key, y(at[-1][1])))
    if beside:
        free = apart([place for _, place in ends], 14, top, bottom)
        marks += [Text(right + 10, place + 4, key, colour="muted", size=11.5) for (key, _), place in zip(ends, free)]
    return Figure(name, "; ".join(told) + ".", size, bottom + 40, marks)


def _bare(option: str) -> str:
    return option.lstrip("-").replace("-", " ")
