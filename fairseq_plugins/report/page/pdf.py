"""Figures as PDF, by matplotlib."""

from __future__ import annotations

import io
import logging
from typing import Any

from .marks import Band, Figure, Line, Text
from .palette import LIGHT
from .svg import outline

#: points of paper, and inches, a pixel
POINTS, INCHES = 3 / 4, 1 / 96
PLACES = {"start": "left", "middle": "center", "end": "right"}


def as_pdf(figure: Figure) -> bytes:
    """The figure on white paper; equal figures give equal bytes under one matplotlib.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
    """
    import matplotlib
    from matplotlib import patches, text, transforms
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure as Paper

    # it tells every glyph where fairseq has logging on
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    # the font that matplotlib brings, as letters and not as outlines, whatever a user has set
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "pdf.fonttype": 42, "text.usetex": False}):
        paper = Paper(figsize=(figure.width * INCHES, figure.height * INCHES))
        pixels = transforms.Affine2D().scale(1 / figure.width, -1 / figure.height).translate(0, 1) + paper.transFigure
        for order, mark in enumerate(figure.marks):
            how: dict[str, Any] = {"transform": pixels, "zorder": order}
            colour = LIGHT[mark.colour]
            if isinstance(mark, Text):
                how |= {"ha": PLACES[mark.anchor], "va": "baseline", "weight": "bold" if mark.bold else "normal"}
                size = mark.size * POINTS * 0.92  # the font is wider than what browsers take
                artist: Any = text.Text(mark.x, mark.y, mark.text, color=colour, size=size, parse_math=False, **how)
            elif isinstance(mark, Line):
                how |= {"fill": False, "edgecolor": colour, "linewidth": mark.width * POINTS, "alpha": mark.opacity}
                if mark.dash:
                    how["linestyle"] = (0, [float(length) / mark.width for length in mark.dash.split()])
                artist = patches.Polygon(mark.points, closed=False, joinstyle="round", **how)
            elif isinstance(mark, Band):
                artist = patches.Polygon(mark.points, facecolor=colour, linewidth=0, alpha=mark.opacity, **how)
            else:
                how |= {"facecolor": colour if mark.filled else LIGHT["paper"], "edgecolor": colour}
                how |= {"linewidth": 1.5 * POINTS, "alpha": mark.opacity}
                corners = outline(mark.shape, mark.x, mark.y, mark.size)
                circle = (mark.x, mark.y), mark.size
                artist = patches.Polygon(corners, **how) if corners else patches.Circle(*circle, **how)
            paper.add_artist(artist)
        written = io.BytesIO()
        FigureCanvasPdf(paper).print_pdf(written, metadata={"CreationDate": None})
    return written.getvalue()
