"""What a figure is made of: a few marks in pixels from its top left corner, whatever draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A stroke through points, also a rule or an axis."""

    points: tuple[Point, ...]
    colour: str = "ink"
    width: float = 1.0
    dash: str = ""
    opacity: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class Band:
    """A filled polygon without an outline; a bar is one of four corners."""

    points: tuple[Point, ...]
    colour: str
    opacity: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class Marker:
    """A symbol at a place; hollow ones are filled with paper."""

    x: float
    y: float
    shape: str
    colour: str
    size: float = 4.0
    filled: bool = True
    opacity: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class Text:
    """Words whose baseline begins (``start``), has its middle, or ends (``end``) at a place."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    colour: str = "ink"
    size: float = 12.0
    bold: bool = False
    name: str = ""


Mark = Line | Band | Marker | Text


@dataclass
class Figure:
    """Marks with what a reader needs who cannot see them.

    Args:
        title: what is shown.
        text: the same in words and numbers.
        panels: (left, top, width, height) of what a readout may move in.
    """

    title: str
    text: str
    width: float
    height: float
    marks: list[Mark] = field(default_factory=list)
    panels: list[tuple[float, float, float, float]] = field(default_factory=list)


def rule(x1: float, y1: float, x2: float, y2: float, colour: str = "rule", width: float = 1.0, dash: str = "") -> Line:
    """A straight line."""
    return Line(((x1, y1), (x2, y2)), colour, width, dash)


def bar(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0, name: str = "") -> Band:
    """A rectangle by its top left corner."""
    return Band(((x, y), (x + width, y), (x + width, y + height), (x, y + height)), colour, opacity, name)


def short(text: str, longest: int) -> str:
    """The text, its middle left out where it is too long: names differ at their ends."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"


def label(x: float, y: float, text: str, room: float, **how: object) -> Text:
    """A name cut to the room it has, at an average width of its letters; whole when pointed at."""
    size = float(how.get("size", 12.0))  # type: ignore[arg-type]
    fits = max(4, int(room / (0.56 * size)))
    return Text(x, y, short(text, fits), name=text if len(text) > fits else "", **how)  # type: ignore[arg-type]


def side_by_side(figures: Sequence[Figure], width: float, title: str, gap: float = 24.0) -> Figure:
    """Figures of one size in rows, as many in a row as there is room for."""
    columns = max(1, int((width + gap + 0.5) // (figures[0].width + gap)))
    tallest = max(figure.height for figure in figures)
    whole = Figure(title, " ".join(f"{figure.title}: {figure.text}" for figure in figures), width, 0)
    for place, figure in enumerate(figures):
        right, down = place % columns * (figures[0].width + gap), place // columns * (tallest + gap)
        whole.marks += [_moved(mark, right, down) for mark in figure.marks]
        whole.panels += [(left + right, top + down, wide, high) for left, top, wide, high in figure.panels]
        whole.height = down + tallest
    return whole


def _moved(mark: Mark, right: float, down: float) -> Mark:
    if isinstance(mark, (Line, Band)):
        return replace(mark, points=tuple((x + right, y + down) for x, y in mark.points))
    return replace(mark, x=mark.x + right, y=mark.y + down)
