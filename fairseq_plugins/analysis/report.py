"""The results of a sweep as tables (Markdown and CSV) and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fairseq_plugins.report.plots import new_figure, save
from fairseq_plugins.report.tables import csv_table, markdown_table
from fairseq_plugins.runtime.durable import write_whole

from .evaluate import perplexity
from .sweep import DENSE, mean_error

Content = dict[str, Any]
#: columns of a part's result: name -> what is shown
LOSS: tuple[tuple[str, Callable[[Content], str]], ...] = (
    ("loss", lambda result: f"{result['loss']:.3f}"),
    ("perplexity", lambda result: f"{perplexity(result['loss']):.2f}"),
)
BLEU: tuple[tuple[str, Callable[[Content], str]], ...] = (("BLEU", lambda result: f"{result['bleu']:.2f}"),)


def markdown(content: Content) -> str:
    """A line for each r: what was measured of each mixing (loss and perplexity, BLEU), and its output error."""
    mixings, rs, by_part = _parts(content)
    columns = [
        column
        for key, found in (("loss", LOSS), ("bleu", BLEU))
        for column in found
        if any(key in result for result in content["results"])
    ]
    names = [*(name for name, _ in columns), "output error"]
    header = ["r", *(f"{mixing}: {name}" if not at else name for mixing in mixings for at, name in enumerate(names))]
    lines = []
    dense = by_part.get((DENSE, 0))
    if dense is not None:
        lines.append(["all (dense)", *([*(shown(dense) for _, shown in columns), "0"] * len(mixings))])
    for r in rs:
        cells = [str(r)]
        for mixing in mixings:
            result = by_part.get((mixing, r))
            found = ["-"] * len(names)
            if result is not None:
                found = [*(shown(result) for _, shown in columns), f"{mean_error(result):.3f}"]
            cells += found
        lines.append(cells)
    return markdown_table(header, lines)


def write_tables(content: Content, folder: Path) -> list[Path]:
    """``quality.csv``, ``errors.csv`` and ``weights.csv``; returns their paths."""
    quality, errors, weights = [], [], []
    for result in content["results"]:
        bleu = f"{result['bleu']:.4f}" if "bleu" in result else ""
        losses = [f"{result['loss']:.6f}", f"{perplexity(result['loss']):.4f}"] if "loss" in result else ["", ""]
        numbers = [*losses, bleu, f"{mean_error(result):.6f}"]
        quality.append([result["mixing"], str(result["r"]), *numbers])
        for place in result["errors"]:
            for head, error in enumerate(place["error"]):
                where = [place["site"], str(place["layer"]), str(head)]
                errors.append([result["mixing"], str(result["r"]), *where, f"{error:.6f}"])
    for place in content["weights"] or []:
        for name, values in place.items():
            if name not in ("site", "layer"):
                where = [place["site"], str(place["layer"])]
                weights += [[*where, str(head), name, f"{value:.6f}"] for head, value in enumerate(values)]
    tables = {
        "quality": csv_table(["mixing", "r", "loss", "perplexity", "bleu", "output_error"], quality),
        "errors": csv_table(["mixing", "r", "site", "layer", "head", "output_error"], errors),
        "weights": csv_table(["site", "layer", "head", "quantity", "value"], weights),
    }
    for name, text in tables.items():
        write_whole(folder / f"{name}.csv", text.encode())
    return [folder / f"{name}.csv" for name in tables]


def write_plots(content: Content, folder: Path, title: str) -> list[Path]:
    """Curves against r, and heat-maps of layers and heads; returns their paths.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message says how to get it.
    """
    return [_curves(content, folder, title), _heatmaps(content, folder, title)]


def _curves(content: Content, folder: Path, title: str) -> Path:
    mixings, _, by_part = _parts(content)
    shown: list[tuple[str, Callable[[Content], float]]] = [("output error |o - õ| / |o|", mean_error)]
    if any("loss" in result for result in content["results"]):
        shown.insert(0, ("loss (nats a token)", lambda result: result["loss"]))
    if any("bleu" in result for result in content["results"]):
        shown.append(("BLEU", lambda result: result.get("bleu", float("nan"))))
    figure, axes = new_figure(1, len(shown), figsize=(5 * len(shown), 4), squeeze=False)
    for axis, (label, value) in zip(axes[0], shown):
        for name in mixings:
            points = [(r, value(result)) for (mixing, r), result in sorted(by_part.items()) if mixing == name]
            axis.plot(*zip(*points), marker="o", markersize=3, linewidth=1.2, label=name)
        if (DENSE, 0) in by_part:
            axis.axhline(value(by_part[DENSE, 0]), color="black", linewidth=0.8, linestyle="--", label=DENSE)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("r (keys a query)")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0][0].legend()
    figure.suptitle(title)
    figure.tight_layout()
    return save(figure, folder / "curves.png", dpi=130)


def _heatmaps(content: Content, folder: Path, title: str) -> Path:
    """A row for each mixing at each r in the middle of the list, and the entropy of the weights."""
    mixings, rs, by_part = _parts(content)
    middle = rs[len(rs) // 2] if rs else 0
    panels = [("entropy (nats)", _grid(content["weights"] or [], "entropy"))]
    panels += [
        (f"{name}, r = {middle}: output error", _grid(by_part[name, middle]["errors"], "error"))
        for name in mixings
        if (name, middle) in by_part
    ]
    largest = max((value for _, (_, grid) in panels[1:] for row in grid for value in row), default=1.0)
    figure, axes = new_figure(1, len(panels), figsize=(3.6 * len(panels), 3.6), squeeze=False)
    for number, (axis, (label, (names, grid))) in enumerate(zip(axes[0], panels)):
        image = axis.imshow(grid, aspect="auto", cmap="viridis", vmin=0, vmax=largest if number else None)
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("head")
        axis.set_title(label, fontsize=9)
        figure.colorbar(image, ax=axis)
    figure.suptitle(title)
    figure.tight_layout()
    return save(figure, folder / "heatmaps.png", dpi=130)


def _grid(found: Sequence[dict[str, Any]], what: str) -> tuple[list[str], list[list[float]]]:
    """Names of the layers, and a row of heads for each; rows of models with unequal heads end in NaN."""
    heads = max((len(place[what]) for place in found), default=0)
    rows = [[*place[what], *[float("nan")] * (heads - len(place[what]))] for place in found]
    return [f"{place['site']} {place['layer']}" for place in found], rows


def _parts(content: Content) -> tuple[list[str], list[int], dict[tuple[str, int], dict[str, Any]]]:
    """Mixings and r in the order of the results, and the results by both."""
    by_part = {(result["mixing"], result["r"]): result for result in content["results"]}
    mixings = list(dict.fromkeys(name for name, _ in by_part if name != DENSE))
    return mixings, sorted({r for name, r in by_part if name != DENSE}), by_part
