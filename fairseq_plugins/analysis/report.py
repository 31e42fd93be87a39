"""The results of a sweep as tables (Markdown and CSV) and pictures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

from fairseq_plugins.corpus import write_whole

from .evaluate import perplexity
from .sweep import DENSE, mean_error

Content = Dict[str, Any]


def markdown(content: Content) -> str:
    """A line for each r: loss, perplexity and output error of each mixing."""
    mixings, rs, by_part = _parts(content)
    bleu = any("bleu" in result for result in content["results"])
    header = ["r"]
    for name in mixings:
        header += [f"{name}: loss", "perplexity", *(["BLEU"] if bleu else []), "output error"]
    lines = [header, ["---"] * len(header)]
    dense = by_part.get((DENSE, 0))
    if dense is not None:
        for_each = [f"{dense['loss']:.3f}", f"{perplexity(dense['loss']):.2f}"]
        for_each += [f"{dense['bleu']:.2f}"] if bleu else []
        lines.append(["all (dense)", *([*for_each, "0"] * len(mixings))])
    for r in rs:
        cells = [str(r)]
        for name in mixings:
            result = by_part.get((name, r))
            if result is None:
                cells += ["-"] * (4 if bleu else 3)
                continue
            cells += [f"{result['loss']:.3f}", f"{perplexity(result['loss']):.2f}"]
            cells += [f"{result['bleu']:.2f}"] if bleu else []
            cells.append(f"{mean_error(result):.3f}")
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_tables(content: Content, folder: Path) -> List[Path]:
    """``quality.csv``, ``errors.csv`` and ``weights.csv``; returns their paths."""
    quality = [["mixing", "r", "loss", "perplexity", "bleu", "output_error"]]
    errors = [["mixing", "r", "site", "layer", "head", "output_error"]]
    for result in content["results"]:
        bleu = f"{result['bleu']:.4f}" if "bleu" in result else ""
        numbers = [f"{result['loss']:.6f}", f"{perplexity(result['loss']):.4f}", bleu, f"{mean_error(result):.6f}"]
        quality.append([result["mixing"], str(result["r"]), *numbers])
        for place in result["errors"]:
            for head, error in enumerate(place["error"]):
                where = [place["site"], str(place["layer"]), str(head)]
                errors.append([result["mixing"], str(result["r"]), *where, f"{error:.6f}"])
    weights = [["site", "layer", "head", "quantity", "value"]]
    for place in content["weights"] or []:
        for name, values in place.items():
            if name not in ("site", "layer"):
                where = [place["site"], str(place["layer"])]
                weights += [[*where, str(head), name, f"{value:.6f}"] for head, value in enumerate(values)]
    paths = []
    for name, rows in (("quality", quality), ("errors", errors), ("weights", weights)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        paths.append(folder / f"{name}.csv")
        write_whole(paths[-1], text.getvalue().encode())
    return paths


def write_plots(content: Content, folder: Path, title: str) -> List[Path]:
    """Curves against r, and heat-maps of layers and heads; returns their paths.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message says how to get it.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("no plots: matplotlib is not installed (pip install matplotlib)") from error
    matplotlib.use("Agg")
    return [_curves(content, folder, title), _heatmaps(content, folder, title)]


def _curves(content: Content, folder: Path, title: str) -> Path:
    from matplotlib import pyplot

    mixings, _, by_part = _parts(content)
    shown: List[Tuple[str, Callable[[Content], float]]] = [
        ("loss (nats a token)", lambda result: result["loss"]),
        ("output error |o - õ| / |o|", mean_error),
    ]
    if any("bleu" in result for result in content["results"]):
        shown.append(("BLEU", lambda result: result.get("bleu", float("nan"))))
    figure, axes = pyplot.subplots(1, len(shown), figsize=(5 * len(shown), 4), squeeze=False)
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
    return _save(figure, folder / "curves.png")


def _heatmaps(content: Content, folder: Path, title: str) -> Path:
    """A row for each mixing at each r in the middle of the list, and the entropy of the weights."""
    from matplotlib import pyplot

    mixings, rs, by_part = _parts(content)
    middle = rs[len(rs) // 2] if rs else 0
    panels = [("entropy (nats)", _grid(content["weights"] or [], "entropy"))]
    panels += [
        (f"{name}, r = {middle}: output error", _grid(by_part[name, middle]["errors"], "error"))
        for name in mixings
        if (name, middle) in by_part
    ]
    largest = max((value for _, (_, grid) in panels[1:] for row in grid for value in row), default=1.0)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.6), squeeze=False)
    for number, (axis, (label, (names, grid))) in enumerate(zip(axes[0], panels)):
        image = axis.imshow(grid, aspect="auto", cmap="viridis", vmin=0, vmax=largest if number else None)
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("head")
        axis.set_title(label, fontsize=9)
        figure.colorbar(image, ax=axis)
    figure.suptitle(title)
    return _save(figure, folder / "heatmaps.png")


def _grid(found: Sequence[Dict[str, Any]], what: str) -> Tuple[List[str], List[List[float]]]:
    """Names of the layers, and a row of heads for each; rows of models with unequal heads end in NaN."""
    heads = max((len(place[what]) for place in found), default=0)
    rows = [[*place[what], *[float("nan")] * (heads - len(place[what]))] for place in found]
    return [f"{place['site']} {place['layer']}" for place in found], rows


def _save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.tight_layout()
    image = io.BytesIO()
    figure.savefig(image, dpi=130, format="png")
    pyplot.close(figure)
    write_whole(path, image.getvalue())
    return path


def _parts(content: Content) -> Tuple[List[str], List[int], Dict[Tuple[str, int], Dict[str, Any]]]:
    """Mixings and r in the order of the results, and the results by both."""
    by_part = {(result["mixing"], result["r"]): result for result in content["results"]}
    mixings = list(dict.fromkeys(name for name, _ in by_part if name != DENSE))
    return mixings, sorted({r for name, r in by_part if name != DENSE}), by_part
