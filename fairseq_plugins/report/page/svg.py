"""Figures as SVG: inside the page in the theme's colours, as files in colours of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

from markupsafe import Markup

from .marks import Band, Figure, Line, Mark, Point, Text
from .palette import LIGHT

FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: what no XML may hold, nor anything that is set
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def in_page(figure: Figure, name: str) -> Markup:
    """The element; its colours are the theme's variables, ``name`` begins its ids."""
    words = f'<title id="{name}-title">{_e(figure.title)}</title><desc id="{name}-text">{_e(figure.text)}</desc>'
    start = f'id="{name}" role="img" aria-labelledby="{name}-title {name}-text"'
    return Markup(_drawn(figure, start, words, _variable))


def ornament(figure: Figure, kind: str) -> Markup:
    """The element of a class ``kind``, for what only repeats the text beside it."""
    return Markup(_drawn(figure, f'class="{kind}" aria-hidden="true"', "", _variable))


def as_file(figure: Figure) -> bytes:
    """The same on white paper, for itself."""
    words = f"<title>{_e(figure.title)}</title><desc>{_e(figure.text)}</desc>"
    paper = f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>'
    start = f'xmlns="http://www.w3.org/2000/svg" role="img" font-family="{FONTS}"'
    return f"{_drawn(figure, start, words + paper, LIGHT.__getitem__)}\n".encode()


def outline(shape: str, x: float, y: float, size: float) -> list[Point]:
    """The corners of a symbol, of about the area of a circle of radius ``size``; a circle has none."""
    if shape == "square":
        side = size * 0.89
        return [(x - side, y - side), (x + side, y - side), (x + side, y + side), (x - side, y + side)]
    if shape == "diamond":
        reach = size * 1.25
        return [(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
    if shape in ("up", "down"):
        point, foot = (-1.3, 0.85) if shape == "up" else (1.3, -0.85)
        return [(x, y + point * size), (x + 1.25 * size, y + foot * size), (x - 1.25 * size, y + foot * size)]
    return []


def _variable(colour: str) -> str:
    return f"var(--{colour})"


def _drawn(figure: Figure, attributes: str, words: str, colour: Callable[[str], str]) -> str:
    width, height = _n(figure.width), _n(figure.height)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f"<svg {attributes} {size}>{words}{''.join(_mark(mark, colour) for mark in figure.marks)}</svg>"


def _mark(mark: Mark, colour: Callable[[str], str]) -> str:
    inside = f"<title>{_e(mark.name)}</title>" if mark.name else ""
    if isinstance(mark, Text):
        weight = ' font-weight="600"' if mark.bold else ""
        anchor = "" if mark.anchor == "start" else f' text-anchor="{mark.anchor}"'
        return (
            f'<text x="{_n(mark.x)}" y="{_n(mark.y)}" font-size="{_n(mark.size)}" fill="{colour(mark.colour)}"'
            f"{anchor}{weight}>{inside}{_e(mark.text)}</text>"
        )
    faint = "" if mark.opacity == 1 else f' opacity="{_n(mark.opacity)}"'
    if isinstance(mark, Line):
        dash = f' stroke-dasharray="{mark.dash}"' if mark.dash else ""
        style = f'fill="none" stroke="{colour(mark.colour)}" stroke-width="{_n(mark.width)}" stroke-linejoin="round"'
        return _element("polyline", f"points={quoteattr(_points(mark.points))} {style}{dash}{faint}", inside)
    if isinstance(mark, Band):
        return _element("polygon", f'points="{_points(mark.points)}" fill="{colour(mark.colour)}"{faint}', inside)
    inner = colour(mark.colour if mark.filled else "paper")
    style = f'fill="{inner}" stroke="{colour(mark.colour)}" stroke-width="1.5"{faint}'
    corners = outline(mark.shape, mark.x, mark.y, mark.size)
    if corners:
        return _element("polygon", f'points="{_points(corners)}" {style} stroke-linejoin="round"', inside)
    return _element("circle", f'cx="{_n(mark.x)}" cy="{_n(mark.y)}" r="{_n(mark.size)}" {style}', inside)


def _element(name: str, attributes: str, inside: str) -> str:
    return f"<{name} {attributes}>{inside}</{name}>" if inside else f"<{name} {attributes}/>"


def _points(points: tuple[Point, ...] | list[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """A tenth of a pixel is enough; so equal figures are equal on any machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 2 else f"{value:.1f}".removesuffix(".0")


def _e(text: str) -> str:
    return escape(FORBIDDEN.sub("�", text))
