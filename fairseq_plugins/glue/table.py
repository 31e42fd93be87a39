"""The comparison of fine-tuned models: development sets over the seeds, their average, and what is unusual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.members import by_variant
from fairseq_plugins.report.plots import new_figure, save
from fairseq_plugins.report.results import Member
from fairseq_plugins.report.runs import read_json
from fairseq_plugins.report.tables import listed

from .tasks import DEV_SETS
from .units import seed_member

#: the columns that the papers average
NINE = [name for name, task in DEV_SETS.items() if task.averaged]


@dataclass
class Model:
    """One model's runs: what ``examples/symmetric_attention/glue.sh`` left in a folder.

    Attributes:
        name: its row.
        settings: what its runs have in common.
        seeds: seed -> development set -> folder of the run.
        notes: development set -> what is unusual -> the seeds of which it is true.
        unfinished: names of runs without an evaluation.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    seeds: dict[int, dict[str, Path]] = field(default_factory=dict)
    notes: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)

    @property
    def columns(self) -> set[str]:
        """Development sets of any seed."""
        return {name for sets in self.seeds.values() for name in sets}


def load_model(folder: PathLike, name: str | None = None) -> Model:
    """Read a folder of runs.

    Raises:
        UserError: no finished run is there, or a file is damaged; the message names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    settings = folder / "settings.json"
    model = Model(name or folder.resolve().name, folder, read_json(settings) if settings.is_file() else {})
    for run in sorted(path.parent for path in folder.glob("*/run.json")):
        if not (run / "evaluation.json").is_file():
            model.unfinished.append(run.name)
            continue
        evaluation = read_json(run / "evaluation.json")
        sets = model.seeds.setdefault(evaluation["seed"], {})
        for name, found in evaluation["sets"].items():
            if name in sets:
                raise UserError(f"{folder}: two runs of {name} with seed {evaluation['seed']}; remove one of them")
            sets[name] = run
            for note in found["notes"]:
                model.notes.setdefault(name, {}).setdefault(note, []).append(evaluation["seed"])
    if not model.seeds:
        raise UserError(f"{folder}: no finished run in it; fine-tune with examples/symmetric_attention/glue.sh first")
    return model


def members_of(models: Sequence[Model], baseline: str | None = None) -> tuple[dict[str, list[Member]], list[str]]:
    """Model -> a member for each seed, and notes on what is averaged, missing and unusual.

    The average is over those of the nine columns that every model has, of the seeds that have all of them.

    Raises:
        UserError: two models have one name, or a file is missing or damaged.
    """
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two models are called {name!r}; give NAME=FOLDER for one of them")
    averaged = [name for name in NINE if all(name in model.columns for model in models)]
    members = []
    for model in models:
        for seed, sets in model.seeds.items():
            member = seed_member(model.folder, sorted(set(sets.values())), averaged)
            members.append(replace(member, run=replace(member.run, name=model.name, seed=seed)))
    return by_variant(members, baseline), _notes(models, averaged)


def _notes(models: Sequence[Model], averaged: Sequence[str]) -> list[str]:
    notes = []
    columns = {name for model in models for name in model.columns}
    missing = [name for name in NINE if name not in columns]
    if averaged and len(averaged) < len(NINE):
        notes.append(
            f"The average is over {listed(averaged)}: not the papers' {len(NINE)} columns, so it cannot be "
            "compared with theirs."
        )
    if "WNLI" in columns:
        notes.append("WNLI is left out of the average, as in the papers.")
    if missing:
        notes.append(f"Missing: {listed(missing)}.")
    notes += _settings_notes(models)
    for model in models:
        if model.unfinished:
            notes.append(f"{model.name}: not finished: {listed(model.unfinished)}.")
        for name in sorted(model.columns, key=list(DEV_SETS).index):
            seeds = sorted(seed for seed, sets in model.seeds.items() if name in sets)
            if len(seeds) < len(model.seeds):
                notes.append(f"{model.name}, {name}: seeds {listed(seeds)} alone.")
        for name, unusual in model.notes.items():
            for note, seeds in unusual.items():
                notes.append(f"{model.name}, {name}, seeds {listed(sorted(seeds))}: {note}.")
    return notes


def _settings_notes(models: Sequence[Model]) -> list[str]:
    """One sentence if all models were fine-tuned alike, else one for each."""
    texts = {model.name: _settings_text(model.settings) for model in models if model.settings}
    if len(texts) == len(models) and len(set(texts.values())) == 1:
        return [f"Fine-tuning: {next(iter(texts.values()))}."]
    return [f"Fine-tuning of {name}: {text}." for name, text in texts.items()]


def _settings_text(settings: dict[str, Any]) -> str:
    options = " ".join(settings.get("options", []))
    epochs = f"{settings['epochs']} epoch{'' if settings['epochs'] == 1 else 's'}"
    text = f"{epochs}, learning rate {settings['lr']:g}, batches of {settings['batch']}"
    return text + (f", {options}" if options else "")


def plot(results: Mapping[str, Any], path: PathLike) -> None:
    """Scores by column, a colour a model, the standard deviation as bars; the file's ending is its format."""
    columns = [metric["name"] for metric in results["metrics"] if metric["name"] in DEV_SETS]
    models = results["variants"]
    figure, axes = new_figure(figsize=(max(5.0, 1.1 * len(columns) + 2), 4.5))
    for number, model in enumerate(models):
        there = [name for name in columns if name in model["scores"]]
        # models side by side around the column's place
        places = [columns.index(name) + 0.6 * ((number + 0.5) / len(models) - 0.5) for name in there]
        means = [model["scores"][name]["mean"] for name in there]
        deviations = [model["scores"][name]["deviation"] or 0.0 for name in there]
        axes.errorbar(places, means, yerr=deviations, fmt="o", capsize=3, color=f"C{number}", label=model["name"])
    axes.set_xticks(range(len(columns)), columns)
    axes.set_ylabel("score (%), mean ± standard deviation")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    save(figure, path)
