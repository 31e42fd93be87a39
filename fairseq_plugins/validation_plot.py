"""Validation curves as a picture."""

from __future__ import annotations

import io
import os
from typing import Any, Mapping, Sequence

from fairseq_plugins.corpus import write_whole


def plot_validation(rows: Sequence[Mapping[str, Any]], path: str, unit: str) -> None:
    """Draw validation loss over updates: a colour a model, a line a seed.

    Args:
        rows: with ``name``, ``parameters``, and ``runs`` that have ``validation``, pairs of update and loss.
        path: the file to write; its ending is its format.
        unit: of the losses.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message says how to get it.
        CorpusError: the file cannot be written.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("no plot: matplotlib is not installed (pip install matplotlib)") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for number, row in enumerate(rows):
        curves = [run["validation"] for run in row["runs"] if run["validation"]]
        for member, curve in enumerate(curves):
            label = f"{row['name']} ({row['parameters'] / 1e6:.2f} M)" if member == 0 else None
            axes.plot(*zip(*curve), color=f"C{number}", linewidth=1.2, label=label)
    axes.set_xlabel("updates")
    axes.set_ylabel(f"validation loss ({unit})")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    image = io.BytesIO()
    figure.savefig(image, dpi=150, format=os.path.splitext(path)[1].lstrip(".") or "png")
    pyplot.close(figure)
    write_whole(path, image.getvalue())
