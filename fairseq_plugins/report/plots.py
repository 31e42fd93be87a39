"""Pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import write_whole


def new_figure(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """A figure and its axes, for no screen; the arguments are those of ``matplotlib.pyplot.subplots``.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message says how to get it.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("no plot: matplotlib is not installed (pip install matplotlib)") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(*args, **kwargs)


def save(figure: Any, path: PathLike, dpi: int = 150) -> Path:
    """Write a figure, in the format of the file's ending, and close it; the file is the old one or complete."""
    from matplotlib import pyplot

    path = Path(path)
    image = io.BytesIO()
    figure.savefig(image, dpi=dpi, format=path.suffix.lstrip(".") or "png")
    pyplot.close(figure)
    write_whole(path, image.getvalue())
    return path


def plot_validation(rows: Sequence[Mapping[str, Any]], path: PathLike, unit: str) -> None:
    """Draw validation loss over updates: a colour a model, a line a seed.

    Args:
        rows: with ``name``, ``parameters``, and ``curves`` that have ``points``, pairs of update and loss.
        path: the file to write; its ending is its format.
        unit: of the losses.
    """
    figure, axes = new_figure(figsize=(7, 4.5))
    for number, row in enumerate(rows):
        curves = [curve["points"] for curve in row["curves"] if curve["points"]]
        for member, curve in enumerate(curves):
            label = f"{row['name']} ({row['parameters'] / 1e6:.2f} M)" if member == 0 else None
            axes.plot(*zip(*curve), color=f"C{number}", linewidth=1.2, label=label)
    axes.set_xlabel("updates")
    axes.set_ylabel(f"validation loss ({unit})")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    save(figure, path)
