"""Figures as PDF, by matplotlib."""

from __future__ import annotations

import io
from typing import Any

from fairseq_plugins.report.plots import new_figure

from .marks import Band, Figure, Line, Text
from .palette import LIGHT
from .svg import outline

#: points of paper a pixel
POINTS = 0.75


def as_pdf(figure: Figure) -> bytes:
    """The figure on white paper; equal figures give equal bytes under one matplotlib.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message says how to get it.
    """
    canvas, axes = new_figure(figsize=(figure.width / 96, figure.height / 96))
    from matplotlib import patches, pyplot

    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, figure.width)
    axes.set_ylim(figure.height, 0)
    for order, mark in enumerate(figure.marks):
        colour = LIGHT[mark.colour]
        if isinstance(mark, Text):
            place = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
            weight = "bold" if mark.bold else "normal"
            text = mark.text.replace("$", r"\$")
            size = mark.size * POINTS * 0.92  # DejaVu, which matplotlib brings, is wider than what browsers take
            axes.text(
                mark.x, mark.y, text, ha=place, va="baseline", color=colour, size=size, weight=weight, zorder=order
            )
        elif isinstance(mark, Line):
            dash = (0, [float(length) * POINTS for length in mark.dash.split()]) if mark.dash else "solid"
            axes.add_patch(
                patches.Polygon(
                    mark.points, closed=False, fill=False, edgecolor=colour, linewidth=mark.width * POINTS,
                    linestyle=dash, alpha=mark.opacity, zorder=order, joinstyle="round",
                )
            )  # fmt: skip
        elif isinstance(mark, Band):
            axes.add_patch(
                patches.Polygon(mark.points, facecolor=colour, linewidth=0, alpha=mark.opacity, zorder=order)
            )
        else:
            style: dict[str, Any] = {
                "facecolor": colour if mark.filled else LIGHT["paper"],
                "edgecolor": colour,
                "linewidth": 1.5 * POINTS,
                "alpha": mark.opacity,
                "zorder": order,
            }
            corners = outline(mark.shape, mark.x, mark.y, mark.size)
            shape = (
                patches.Polygon(corners, **style) if corners else patches.Circle((mark.x, mark.y), mark.size, **style)
            )
            axes.add_patch(shape)
    written = io.BytesIO()
    canvas.savefig(written, format="pdf", metadata={"CreationDate": None})
    pyplot.close(canvas)
    return written.getvalue()
