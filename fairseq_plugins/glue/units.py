"""GLUE's metrics as functions of sums over the examples of a development set; their values are those of ``metrics``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.results import Member
from fairseq_plugins.report.runs import Run, read_json, read_run
from fairseq_plugins.report.units import Measure, Units, ratio

from .metrics import Label
from .tasks import DEV_SETS, Task

#: a sum of squares about the mean that is this part of the one about 0 is rounding
ROUNDING = 1e-13


def prediction_units(folder: PathLike) -> dict[str, Units]:
    """Development set -> the score of its task, in percent, by examples, of a run that was evaluated.

    Raises:
        UserError: ``predictions.json`` is missing or damaged; the message names it.
    """
    found = read_json(Path(folder) / "predictions.json", "evaluate the run with fairseq-plugins glue-evaluate")
    return {name: units_of(name, values["predictions"], values["targets"]) for name, values in found.items()}


def seed_member(folder: PathLike, runs: Sequence[Path], averaged: Collection[str] | None = None) -> Member:
    """All tasks of one fine-tuning seed as one run.

    Args:
        folder: has ``settings.json``.
        runs: a folder for each task.
        averaged: columns of the average, which is left out where one of them is missing; default: all there are.

    Raises:
        UserError: there is no run, or a file is missing or damaged; the message names it.
    """
    if not runs:
        raise UserError(f"{folder}: no task was evaluated; remove it and run the study again")
    found: dict[str, Units] = {}
    for run in runs:
        found.update(prediction_units(run))
    columns = {name: found[name] for name in DEV_SETS if name in found}
    chosen = columns if averaged is None else {name: columns[name] for name in averaged if name in columns}
    whole = any(DEV_SETS[name].averaged for name in chosen) and (averaged is None or len(chosen) == len(averaged))
    each = [read_run(run) for run in runs]
    parameters = read_json(Path(folder) / "settings.json")["parameters"]
    updates, seconds = sum(run.updates for run in each), sum(run.seconds for run in each)
    first = each[0]
    one = Run(str(folder), first.name, first.arch, first.seed, parameters, updates, seconds, [], record=first.record)
    command = "\n".join(shlex.join(run.record.get("command", ())) for run in each)
    return Member(one, {**({"average": average_units(chosen)} if whole else {}), **columns}, command=command)


def average_units(columns: Mapping[str, Units]) -> Units:
    """The mean of the papers' columns that are there, by the examples of all of them.

    A row has the sums of its own set in that set's columns and 0 elsewhere, so that leaving an example out changes the
    average as it changes the set's score.
    """
    averaged = {name: units for name, units in columns.items() if DEV_SETS[name].averaged}
    widths = [units.sums.shape[1] for units in averaged.values()]
    places = np.cumsum([0, *widths])

    def of_sums(sums: np.ndarray) -> np.ndarray:
        parts = [
            units.measure.of_sums(sums[..., start:end])
            for units, start, end in zip(averaged.values(), places, places[1:])
        ]
        return np.mean(parts, axis=0)

    rows = np.zeros((sum(len(units.sums) for units in averaged.values()), places[-1]))
    begin = 0
    for units, start, end in zip(averaged.values(), places, places[1:]):
        rows[begin : begin + len(units.sums), start:end] = units.sums
        begin += len(units.sums)
    said = f"mean of {', '.join(averaged)}, in percent, on the development sets"
    return Units(Measure("average", True, 2, said, of_sums), rows)


def units_of(name: str, predictions: Sequence[Label], targets: Sequence[Label]) -> Units:
    """A development set by its examples.

    Columns are, by task: of classes, true and false positives, false and true negatives (the positive class is the last
    one where the task names none), and of others right and wrong answers; of numbers, the moments that a correlation is
    made of, of the numbers themselves and of their ranks in the whole set.
    """
    task = DEV_SETS[name]
    of_sums, sums, what = _kind(task)
    return Units(
        Measure(name, True, 2, f"{what}, in percent, on the development set", of_sums), sums(task, predictions, targets)
    )


def _kind(task: Task) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[..., np.ndarray], str]:
    kinds: dict[tuple[str, ...], Any] = {
        ("accuracy",): (_accuracy, _right, "accuracy"),
        ("accuracy", "f1"): (_accuracy_and_f1, _confusion, "mean of accuracy and F1"),
        ("matthews",): (_matthews, _confusion, "Matthews correlation"),
        ("pearson", "spearman"): (_correlations, _moments, "mean of Pearson and Spearman correlation"),
    }
    return kinds[task.score]


def _right(task: Task, predictions: Sequence[Label], targets: Sequence[Label]) -> np.ndarray:
    right = np.array([one == other for one, other in zip(predictions, targets)])
    return np.stack([right, ~right], axis=1).astype(np.float64)


def _confusion(task: Task, predictions: Sequence[Label], targets: Sequence[Label]) -> np.ndarray:
    positive = task.positive or task.classes[-1]
    yes, true = (np.array([label == positive for label in labels]) for labels in (predictions, targets))
    return np.stack([yes & true, yes & ~true, ~yes & true, ~yes & ~true], axis=1).astype(np.float64)


def _moments(task: Task, predictions: Sequence[Label], targets: Sequence[Label]) -> np.ndarray:
    from scipy.stats import rankdata

    columns = [np.ones(len(targets))]
    for rank in (False, True):
        values = [np.asarray(rankdata(side) if rank else side, dtype=np.float64) for side in (predictions, targets)]
        x, y = (side - np.median(side) for side in values)
        columns += [x, y, x * x, y * y, x * y]
    return np.stack(columns, axis=1)


def _accuracy(sums: np.ndarray) -> np.ndarray:
    return 100 * ratio(sums[..., 0], sums.sum(axis=-1))


def _accuracy_and_f1(sums: np.ndarray) -> np.ndarray:
    both, only_predicted, only_true, neither = np.moveaxis(sums, -1, 0)
    accuracy = ratio(both + neither, sums.sum(axis=-1))
    return 50 * (accuracy + ratio(2 * both, 2 * both + only_predicted + only_true))


def _matthews(sums: np.ndarray) -> np.ndarray:
    both, only_predicted, only_true, neither = np.moveaxis(sums, -1, 0)
    product = (both + only_predicted) * (both + only_true) * (neither + only_predicted) * (neither + only_true)
    return 100 * ratio(both * neither - only_predicted * only_true, np.sqrt(product))


def _correlations(sums: np.ndarray) -> np.ndarray:
    count, pearson, spearman = np.split(sums, [1, 6], axis=-1)
    return 50 * (_correlation(count[..., 0], pearson) + _correlation(count[..., 0], spearman))


def _correlation(count: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Of the sums (..., 5) of x, y, x², y² and xy; 0 where one side is constant."""
    x, y, xx, yy, xy = np.moveaxis(moments, -1, 0)
    across, along = count * xx - x * x, count * yy - y * y
    there = (across > ROUNDING * count * xx) & (along > ROUNDING * count * yy)
    return np.where(there, ratio(count * xy - x * y, np.sqrt(np.where(there, across * along, 0))), 0.0)
