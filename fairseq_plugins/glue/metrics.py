"""The metrics of GLUE, by scikit-learn and scipy, defined also where a model predicts the same for every example."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import NamedTuple

from fairseq_plugins.errors import UserError

from .tasks import Task

Label = str | float
#: metrics and notes
Found = tuple[dict[str, float], list[str]]


class Scores(NamedTuple):
    """What a set's predictions are worth.

    Attributes:
        metrics: name -> value, from 0 to 1 (correlations from -1).
        score: the mean of the metrics that make the task's score.
        notes: sentences about predictions that are all the same.
    """

    metrics: dict[str, float]
    score: float
    notes: list[str]


def check_installed() -> None:
    """Look for the packages that the metrics need, before hours of work end without them.

    Raises:
        UserError: one is missing; the message says how to get it.
    """
    for module, package in (("sklearn", "scikit-learn"), ("scipy", "scipy")):
        if importlib.util.find_spec(module) is None:
            raise _missing(package)


def score(task: Task, predictions: Sequence[Label], targets: Sequence[Label]) -> Scores:
    """Score predictions: labels of ``task.classes``, or numbers for regression.

    A correlation with something constant is undefined; it counts as 0, as scikit-learn has it for Matthews'.

    Raises:
        UserError: scikit-learn or scipy is missing, and the message says how to get them; or there are no predictions,
            or not as many as targets.
    """
    if len(predictions) != len(targets) or not targets:
        raise UserError(f"{task.name}: {len(predictions)} predictions for {len(targets)} examples")
    metrics, notes = (_regression if task.is_regression else _classification)(task, predictions, targets)
    return Scores(metrics, sum(metrics[name] for name in task.score) / len(task.score), notes)


def _classification(task: Task, predictions: Sequence[Label], targets: Sequence[Label]) -> Found:
    try:
        from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
    except ModuleNotFoundError as error:
        raise _missing("scikit-learn") from error
    notes = []
    metrics = {"accuracy": float(accuracy_score(targets, predictions))}
    if "f1" in task.score:
        # by labels, since pos_label is refused where that class is in neither
        only = {"labels": [task.positive], "average": "macro"}
        metrics["f1"] = float(f1_score(targets, predictions, zero_division=0, **only))
    if "matthews" in task.score:
        metrics["matthews"] = float(matthews_corrcoef(targets, predictions))
    if len(set(predictions)) == 1:
        notes.append(f"every prediction is {predictions[0]!r}")
    return metrics, notes


def _regression(task: Task, predictions: Sequence[Label], targets: Sequence[Label]) -> Found:
    try:
        from scipy.stats import pearsonr, spearmanr
    except ModuleNotFoundError as error:
        raise _missing("scipy") from error
    if len(set(predictions)) == 1 or len(set(targets)) == 1:
        what = "predictions" if len(set(predictions)) == 1 else "targets"
        return {"pearson": 0.0, "spearman": 0.0}, [f"all {what} are equal: the correlations are undefined, taken as 0"]
    return {
        "pearson": float(pearsonr(predictions, targets)[0]),
        "spearman": float(spearmanr(predictions, targets)[0]),
    }, []


def _missing(package: str) -> UserError:
    return UserError(f"GLUE's metrics need {package}; run: pip install 'fairseq_plugins[glue]'")
