"""The table of fine-tuned models: a row a model, a column a development set, over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.plots import new_figure, save
from fairseq_plugins.report.runs import read_json
from fairseq_plugins.report.statistics import mean_deviation
from fairseq_plugins.report.tables import csv_table, markdown_table

from .tasks import DEV_SETS

#: the columns that the papers average
NINE = [name for name, task in DEV_SETS.items() if task.averaged]


@dataclass
class Model:
    """One model's runs: what ``examples/symmetric_attention/glue.sh`` left in a folder.

    Attributes:
        name: its row.
        settings: what its runs have in common.
        scores: development set -> seed -> score in percent.
        metrics: development set -> seed -> metric -> value in percent.
        notes: development set -> what is unusual -> the seeds of which it is true.
        unfinished: names of runs without an evaluation.
    """

    name: str
    settings: dict[str, Any]
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    metrics: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    notes: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


def load_model(folder: PathLike, name: str | None = None) -> Model:
    """Read a folder of runs.

    Raises:
        UserError: no finished run is there, or a file is damaged; the message names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    settings = folder / "settings.json"
    model = Model(name or folder.resolve().name, read_json(settings) if settings.is_file() else {})
    for run in sorted(path.parent for path in folder.glob("*/run.json")):
        if not (run / "evaluation.json").is_file():
            model.unfinished.append(run.name)
            continue
        evaluation = read_json(run / "evaluation.json")
        for name, found in evaluation["sets"].items():
            scores = model.scores.setdefault(name, {})
            seed = evaluation["seed"]
            if seed in scores:
                raise UserError(f"{folder}: two runs of {name} with seed {seed}; remove one of them")
            scores[seed] = 100 * found["score"]
            metrics = {metric: 100 * value for metric, value in found["metrics"].items()}
            model.metrics.setdefault(name, {})[seed] = metrics
            for note in found["notes"]:
                model.notes.setdefault(name, {}).setdefault(note, []).append(seed)
    if not model.scores:
        raise UserError(f"{folder}: no finished run in it; fine-tune with examples/symmetric_attention/glue.sh first")
    return model


def summarise(models: Sequence[Model]) -> dict[str, Any]:
    """Everything that the table says, as plain data; scores in percent.

    The average is over those of the nine columns that every model has. With several seeds its deviation is that of the
    seeds' own averages, so it is there only where all averaged columns have the same seeds.

    Raises:
        UserError: two models have one name.
    """
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two models are called {name!r}; give NAME=FOLDER for one of them")
    columns = [name for name in DEV_SETS if any(name in model.scores for model in models)]
    averaged = [name for name in NINE if all(name in model.scores for model in models)]
    rows = []
    for model in models:
        sets = {
            name: {
                **_statistics(list(model.scores[name].values())),
                "seeds": [
                    {"seed": seed, "score": model.scores[name][seed], "metrics": model.metrics[name][seed]}
                    for seed in sorted(model.scores[name])
                ],
            }
            for name in columns
            if name in model.scores
        }
        rows.append(
            {
                "model": model.name,
                "settings": model.settings,
                "average": _average(model, averaged),
                "sets": sets,
                "notes": model.notes,
                "unfinished": model.unfinished,
            }
        )
    return {
        "columns": columns,
        "averaged": averaged,
        "missing": [name for name in NINE if name not in columns],
        "rows": rows,
    }


def _statistics(scores: Sequence[float]) -> dict[str, Any]:
    mean, deviation = mean_deviation(scores)
    return {"mean": mean, "median": statistics.median(scores), "deviation": deviation, "runs": len(scores)}


def _average(model: Model, names: Sequence[str]) -> dict[str, Any] | None:
    """The mean over columns; over the seeds' averages where every column has the same seeds."""
    if not names:
        return None
    seeds = [sorted(model.scores[name]) for name in names]
    if any(other != seeds[0] for other in seeds):
        means = [statistics.fmean(model.scores[name].values()) for name in names]
        return {"mean": statistics.fmean(means), "median": None, "deviation": None, "runs": None}
    return _statistics([statistics.fmean(model.scores[name][seed] for name in names) for seed in seeds[0]])


def average_name(summary: dict[str, Any]) -> str:
    """``avg`` for the papers' nine columns, else how many there are."""
    count = len(summary["averaged"])
    return "avg" if count == len(NINE) else f"avg of {count}"


def markdown(summary: dict[str, Any]) -> str:
    """The table, and under it what its figures mean, what is missing and what is unusual."""
    sizes = any("parameters" in row["settings"] for row in summary["rows"])
    header = ["model", *(["parameters"] if sizes else []), average_name(summary), *summary["columns"]]
    lines = []
    for row in summary["rows"]:
        size = [f"{row['settings']['parameters']:,}" if "parameters" in row["settings"] else "-"] if sizes else []
        cells = [_cell(row["sets"].get(name)) for name in summary["columns"]]
        lines.append([row["model"], *size, _cell(row["average"]), *cells])
    return markdown_table(header, lines, _notes(summary))


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    text = f"{found['mean']:.2f}"
    if found["deviation"] is not None:
        text += f" ± {found['deviation']:.2f}"
    if found["median"] is not None:
        text += f" ({found['median']:.2f}; {found['runs']})"
    return text


def _notes(summary: dict[str, Any]) -> list[str]:
    notes = [
        "Development sets, in percent: mean ± sample standard deviation (median; number of seeds). MRPC, QQP: mean of "
        "accuracy and F1; CoLA: Matthews correlation; STS-B: mean of Pearson and Spearman correlation; else accuracy."
    ]
    if summary["averaged"] and len(summary["averaged"]) < len(NINE):
        notes.append(
            f"The average is over {', '.join(summary['averaged'])}: not the papers' {len(NINE)} columns, so it cannot "
            "be compared with theirs."
        )
    if "WNLI" in summary["columns"]:
        notes.append("WNLI is left out of the average, as in the papers.")
    if summary["missing"]:
        notes.append(f"Missing: {', '.join(summary['missing'])}.")
    notes += _settings_notes(summary["rows"])
    for row in summary["rows"]:
        if row["unfinished"]:
            notes.append(f"{row['model']}: not finished: {', '.join(row['unfinished'])}.")
        for name, unusual in row["notes"].items():
            for note, seeds in unusual.items():
                notes.append(f"{row['model']}, {name}, seeds {', '.join(map(str, sorted(seeds)))}: {note}.")
    return notes


def _settings_notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence if all models were fine-tuned alike, else one for each."""
    texts = {row["model"]: _settings_text(row["settings"]) for row in rows if row["settings"]}
    if len(texts) == len(rows) and len(set(texts.values())) == 1:
        return [f"Fine-tuning: {next(iter(texts.values()))}."]
    return [f"Fine-tuning of {name}: {text}." for name, text in texts.items()]


def _settings_text(settings: dict[str, Any]) -> str:
    options = " ".join(settings.get("options", []))
    epochs = f"{settings['epochs']} epoch{'' if settings['epochs'] == 1 else 's'}"
    text = f"{epochs}, learning rate {settings['lr']:g}, batches of {settings['batch']}"
    return text + (f", {options}" if options else "")


def as_csv(summary: dict[str, Any]) -> str:
    """One line a run and development set."""
    lines = []
    for row in summary["rows"]:
        for name, found in row["sets"].items():
            for run in found["seeds"]:
                metrics = " ".join(f"{metric}={value:.4f}" for metric, value in run["metrics"].items())
                lines.append([row["model"], name, run["seed"], f"{run['score']:.4f}", metrics])
    return csv_table(["model", "set", "seed", "score", "metrics"], lines)


def plot(summary: dict[str, Any], path: PathLike) -> None:
    """Scores by column, a colour a model, the standard deviation as bars; the file's ending is its format."""
    columns, rows = summary["columns"], summary["rows"]
    figure, axes = new_figure(figsize=(max(5.0, 1.1 * len(columns) + 2), 4.5))
    for number, row in enumerate(rows):
        there = [name for name in columns if name in row["sets"]]
        # models side by side around the column's place
        places = [columns.index(name) + 0.6 * ((number + 0.5) / len(rows) - 0.5) for name in there]
        means = [row["sets"][name]["mean"] for name in there]
        deviations = [row["sets"][name]["deviation"] or 0.0 for name in there]
        axes.errorbar(places, means, yerr=deviations, fmt="o", capsize=3, color=f"C{number}", label=row["model"])
    axes.set_xticks(range(len(columns)), columns)
    axes.set_ylabel("score (%), mean ± standard deviation")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    save(figure, path)
