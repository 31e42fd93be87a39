"""What is seen of a metric: each seed's score, and differences to the baseline with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .axes import NARROW, down
from .marks import Figure, Line, Mark, Marker, Text, bar, label, rule, side_by_side
from .numerals import interval, number, probability, signed
from .palette import series
from .scales import Scale, around

Metric = Mapping[str, Any]
Rows = list[tuple[int, str, Mapping[str, Any]]]


def tests_of(results: Mapping[str, Any], metric: str) -> Rows:
    """(place, name, comparison) of the variants that were tested on a metric."""
    return [
        (place, model["name"], model["against_baseline"][metric])
        for place, model in enumerate(results["variants"])
        if model["against_baseline"] and model["against_baseline"].get(metric)
    ]


def scale_of(rows: Rows, start: float, end: float, shades: bool = False) -> Scale:
    """One scale for all intervals, with zero, and with what could be detected if that is shaded."""
    values = [0.0, *(test[side] for *_, test in rows for side in ("low", "high"))]
    if shades:
        values += [sign * (test["detectable"] or 0.0) for *_, test in rows for sign in (-1, 1)]
    return around(values, start, end)


def differences(results: Mapping[str, Any], metric: Metric, width: float) -> Figure | None:
    """A row a variant; the shade holds what so many seeds cannot find."""
    rows = tests_of(results, metric["name"])
    if not rows:
        return None
    wide = width > NARROW
    left, right = (190.0, width - 170) if wide else (8.0, width - 8)
    high = 40 if wide else 54
    top, bottom = 6.0, 6.0 + high * len(rows)
    scale = scale_of(rows, left, right, shades=True)
    marks = down(scale, top, bottom, 6 if wide else 4)
    for row, (place, name, test) in enumerate(rows):
        look = series(place)
        y = top + high * row + (high / 2 if wide else 36)
        written = f"{signed(test['difference'], metric['digits'])} {interval(test, metric['digits'])}"
        reach = test["detectable"] or 0.0
        shade = f"detectable: {number(reach, metric['digits'])}"
        marks.append(bar(scale(-reach), y - 9, scale(reach) - scale(-reach), 18, "axis", 0.28, shade))
        reach_up = high / 2 if wide else 14.0  # on a telephone there are words above
        marks.append(rule(scale(0), y - reach_up, scale(0), y + reach_up, "ink", 1.2))
        marks += _whisker(scale, y, test, place, 5.0)
        named = y - 20 if not wide else y + 4
        marks.append(Marker(7 if wide else left + 5, named - 4, look.shape, look.colour))
        marks.append(label(18 if wide else left + 16, named, name, (left - 30) if wide else width - 175))
        marks.append(Text(width, named, written, anchor="end", size=12.0))
    marks.append(Text((left + right) / 2, bottom + 36, f"difference in {metric['name']}", "middle", "muted", 11.5))
    low, high_ = ("worse", "better") if metric["higher_is_better"] else ("better", "worse")
    marks += [
        Text(left, bottom + 36, f"← {low}", colour="muted", size=11.5),
        Text(right, bottom + 36, f"{high_} →", anchor="end", colour="muted", size=11.5),
    ]
    texts = [
        f"{name} {signed(test['difference'], metric['digits'])}, 95 % interval {interval(test, metric['digits'])}, "
        f"p {probability(test['p_holm'])}"
        for _, name, test in rows
    ]
    title = f"Difference in {metric['name']} to {results['baseline']}"
    return Figure(title, "; ".join(texts) + ".", width, bottom + 42, marks)


def inline(rows: Rows, place: int, metric: Metric, width: float = 116.0) -> Figure:
    """The same for one cell of a table; all cells of a metric have one scale."""
    name, test = next((name, test) for at, name, test in rows if at == place)
    scale = scale_of(rows, 4, width - 4)
    marks = [rule(scale(0), 1, scale(0), 21, "axis"), *_whisker(scale, 11, test, place, 4.0)]
    written = f"{signed(test['difference'], metric['digits'])} {interval(test, metric['digits'])}"
    return Figure(f"{name}, difference in {metric['name']}", written, width, 22, marks)


def seeds(results: Mapping[str, Any], metric: Metric, width: float) -> Figure | None:
    """A symbol a run, a stroke for the mean of a variant, a broken line for the baseline's."""
    rows = [
        (place, model["name"], model["seeds"], model["scores"][metric["name"]])
        for place, model in enumerate(results["variants"])
        if model["scores"].get(metric["name"], {}).get("mean") is not None
    ]
    if not rows:
        return None
    wide = width > NARROW
    left, right = (190.0, width - 100) if wide else (8.0, width - 8)
    high = 34 if wide else 50
    top, bottom = 6.0, 6.0 + high * len(rows)
    scale = around([score for *_, scores in rows for score in scores["per_seed"] if score is not None], left, right)
    marks = down(scale, top, bottom, 6 if wide else 4)
    texts = []
    for row, (place, name, of_seeds, scores) in enumerate(rows):
        look = series(place)
        y = top + high * row + (high / 2 if wide else 35)
        if place == 0:
            marks.append(rule(scale(scores["mean"]), top, scale(scores["mean"]), bottom, look.colour, 1.0, "4 3"))
        for turn, (seed, score) in enumerate(zip(of_seeds, scores["per_seed"])):
            if score is None:
                continue
            aside = (turn * 2 % 5 - 2) * 2.2 if len(of_seeds) > 1 else 0.0  # so that equal scores are seen
            told = f"{name}, seed {seed}: {number(score, metric['digits'])}"
            marks.append(Marker(scale(score), y + aside, look.shape, look.colour, 4.0, False, 0.95, told))
        marks.append(rule(scale(scores["mean"]), y - 10, scale(scores["mean"]), y + 10, "ink", 2.0))
        named = y - 21 if not wide else y + 4
        mean = number(scores["mean"], metric["digits"])
        marks.append(Marker(7 if wide else left + 5, named - 4, look.shape, look.colour))
        marks.append(label(18 if wide else left + 16, named, name, (left - 30) if wide else width - 90))
        marks.append(Text(width, named, mean, anchor="end", size=12.0))
        listed = ", ".join(number(score, metric["digits"]) for score in scores["per_seed"])
        texts.append(f"{name}: {listed}; mean {mean}")
    marks.append(Text((left + right) / 2, bottom + 36, metric["name"], "middle", "muted", 11.5))
    return Figure(f"{metric['name']} of each seed", ". ".join(texts) + ".", width, bottom + 42, marks)


def tasks(results: Mapping[str, Any], width: float) -> Figure | None:
    """A panel a variant, a row a metric: where it differs from the baseline."""
    metrics = results["metrics"]
    of_all: Rows = [row for metric in metrics for row in tests_of(results, metric["name"])]
    if not of_all:
        return None
    size = width if width <= NARROW else (width - 48) / 3
    left, high = 84.0, 22.0
    scale = scale_of(of_all, left, size - 10)
    panels = []
    for place, model in enumerate(results["variants"]):
        tests = model["against_baseline"]
        if not tests:
            continue
        look = series(place)
        bottom = 30 + high * len(metrics)
        marks: list[Mark] = [Marker(6, 9, look.shape, look.colour), label(17, 13, model["name"], size - 20, bold=True)]
        marks += [*down(scale, 24, bottom, 3), rule(scale(0), 24, scale(0), bottom, "ink")]
        texts = []
        for row, metric in enumerate(metrics):
            y = 30 + high * (row + 0.5)
            marks.append(label(0, y + 4, metric["name"], left - 8, bold=metric["primary"]))
            if test := tests.get(metric["name"]):
                marks += _whisker(scale, y, test, place, 4.0)
                told = f"{signed(test['difference'], metric['digits'])} {interval(test, metric['digits'])}"
                texts.append(f"{metric['name']} {told}")
        panels.append(Figure(model["name"], ", ".join(texts) + ".", size, bottom + 24, marks))
    return side_by_side(panels, width, f"Difference to {results['baseline']}, task by task")


def _whisker(scale: Scale, y: float, test: Mapping[str, Any], place: int, size: float) -> list[Mark]:
    """An interval with its difference; hollow where chance would do as well."""
    look = series(place)
    ends = (scale(test["low"]), y), (scale(test["high"]), y)
    sure = test["p_holm"] is not None and test["p_holm"] < 0.05
    caps: list[Mark] = [rule(x, y - 4, x, y + 4, look.colour, 1.5) for x, _ in ends]
    return [
        Line(ends, look.colour, 2.0),
        *caps,
        Marker(scale(test["difference"]), y, look.shape, look.colour, size, filled=sure),
    ]
