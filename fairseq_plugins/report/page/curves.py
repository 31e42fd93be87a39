"""Learning curves: a thin line a seed, a band from the lowest to the highest, and a thick line for the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from .axes import NARROW, across, down, end_labels, legend
from .marks import Band, Figure, Line, Mark, Marker, Text, label, side_by_side
from .numerals import number
from .palette import series
from .scales import Scale

#: more points than this in a curve cannot be told apart
POINTS = 120
#: more variants than this get a panel each
TOGETHER = 5

Curve = list[tuple[float, float]]


def learning_curves(results: Mapping[str, Any], width: float) -> Figure | None:
    """The figure; None where nothing was validated."""
    drawn = [(place, model) for place, model in enumerate(results["variants"]) if _validated(model)]
    if not drawn:
        return None
    points = [point for _, model in drawn for curve in _validated(model) for point in curve]
    last = max(updates for updates, _ in points)
    losses = [loss for updates, loss in points if updates >= last / 3]
    margin = (max(losses) - min(losses)) * 0.05 or 0.1
    bounds = (min(losses) - margin, max(losses) + margin)
    title = "Validation loss by updates"
    if len(drawn) <= TOGETHER:
        return _panel(title, drawn, width, 360 if width > NARROW else 280, last, bounds, named=True)
    base = [one for one in drawn if one[0] == 0]
    size = width if width <= NARROW else (width - 48) / 3
    panels = [_panel(one[1]["name"], [*base, one], size, 190, last, bounds, False) for one in drawn if one[0] > 0]
    return side_by_side(panels, width, title)


def means(model: Mapping[str, Any]) -> list[tuple[float, float, float, float]]:
    """(updates, mean, lowest, highest) at the updates at which every seed was validated."""
    maps = [dict(curve) for curve in _validated(model)]
    common = [updates for updates in (maps[0] if maps else ()) if all(updates in one for one in maps)]
    losses = {updates: [one[updates] for one in maps] for updates in _thin(common)}
    return [(updates, fmean(each), min(each), max(each)) for updates, each in losses.items()]


def _panel(
    title: str,
    drawn: Sequence[tuple[int, Mapping[str, Any]]],
    width: float,
    height: float,
    last: float,
    bounds: tuple[float, float],
    named: bool,
) -> Figure:
    beside = 150 if named and width > NARROW else 0
    left, right, bottom = 44.0, width - beside - (10 if named else 20), height - (40 if named else 26)
    marks: list[Mark] = []
    if named:
        top = 26.0
        if not beside:
            marks, high = legend([(place, model["name"]) for place, model in drawn], 0, 0, width)
            top += high
        marks.append(Text(0, top - 12, "nats a token", colour="muted", size=11.5))
        marks.append(Text(right, height - 4, "updates", anchor="end", colour="muted", size=11.5))
    else:
        top = 26.0
        look = series(drawn[-1][0])
        marks += [Marker(6, 9, look.shape, look.colour), label(17, 13, title, width - 20, bold=True)]
    x, y = Scale(0, last, left, right), Scale(*bounds, bottom, top)
    marks += across(y, left, right, 5 if named else 3) + down(x, top, bottom, 5 if beside else 3, rules=False)
    ends, texts = [], []
    for place, model in drawn:
        look, curves, common = series(place), _validated(model), means(model)
        for curve in curves if named or place else ():  # in a panel the baseline stays behind
            points = _below(_thin(curve, POINTS if beside else POINTS // 2), bounds[1])
            marks.append(Line(tuple((x(u), y(loss)) for u, loss in points), look.colour, 0.8, opacity=0.4))
        mean, lowest, highest = (_below([(one[0], one[k]) for one in common], bounds[1]) for k in (1, 2, 3))
        if not mean:
            continue
        if len(curves) > 1:
            edge = tuple((x(u), y(loss)) for u, loss in [*lowest, *reversed(highest)])
            marks.append(Band(edge, look.colour, 0.14))
        end, loss = mean[-1]
        marks.append(Line(tuple((x(u), y(loss)) for u, loss in mean), look.colour, 2.0, look.dash))
        if not beside:
            marks.append(Marker(x(end), y(loss), look.shape, look.colour, 3.5))
        ends.append((place, model["name"], y(loss)))
        texts.append(f"{model['name']} ends at {number(loss, 3)} nats after {end:,} updates")
    if beside:
        marks += end_labels(ends, right, width - right, top, bottom)
    panel = (left, top, right - left, bottom - top)
    return Figure(title, "; ".join(texts) + ".", width, height, marks, [panel])


def _validated(model: Mapping[str, Any]) -> list[Curve]:
    curves = [[(updates, loss) for updates, loss in curve["points"] if loss is not None] for curve in model["curves"]]
    return [curve for curve in curves if curve]


def _thin(points: Sequence[Any], most: int = POINTS) -> list[Any]:
    """Some of many, evenly, the last one among them."""
    every = max(1, -(-len(points) // most))
    return list(points[::-1][::every][::-1])


def _below(curve: Sequence[tuple[float, float]], top: float) -> Curve:
    """The part from where a curve last comes from above, cut at the top."""
    above = [index for index, (_, loss) in enumerate(curve) if loss > top]
    if not above:
        return list(curve)
    rest = list(curve[above[-1] + 1 :])
    if not rest:
        return []
    (u0, loss0), (u1, loss1) = curve[above[-1]], rest[0]
    return [(u0 + (u1 - u0) * (loss0 - top) / (loss0 - loss1), top), *rest]
