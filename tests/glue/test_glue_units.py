"""Scores of sums over examples against the metrics, which are scikit-learn's and scipy's."""

import importlib.util
import json

import numpy as np
import pytest

from fairseq_plugins.glue.metrics import score
from fairseq_plugins.glue.tasks import DEV_SETS
from fairseq_plugins.glue.units import prediction_units, units_of

# found and not imported: every worker collects this file
pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("sklearn") and importlib.util.find_spec("scipy")), reason="no sklearn or scipy"
)


def answers(task, size, seed):
    """Predictions and targets that agree more often than not; numbers with ties."""
    draw = np.random.default_rng(seed)
    if task.is_regression:
        targets = draw.integers(0, 26, size) / 5
        return (targets + draw.normal(size=size)).round(1).tolist(), targets.tolist()
    targets = draw.choice(task.classes, size)
    return np.where(draw.random(size) < 0.3, draw.choice(task.classes, size), targets).tolist(), targets.tolist()


@pytest.mark.parametrize("name", DEV_SETS)
def test_scores_of_sums_are_the_metrics(name):
    """On the whole set, and on resamples, where ranks stay those of the whole set."""
    task = DEV_SETS[name]
    predictions, targets = answers(task, 60, 3)
    measure, sums = units_of(name, predictions, targets)
    assert sums.shape[0] == 60
    exact = 100 * score(task, predictions, targets).score
    assert float(measure.of_sums(sums.sum(axis=0))) == pytest.approx(exact, abs=1e-10)
    draws = np.random.default_rng(4).integers(60, size=(3, 60))
    found = measure.of_sums(sums[draws].sum(axis=1))
    for value, drawn in zip(found, draws):
        part = score(task, [predictions[n] for n in drawn], [targets[n] for n in drawn])
        assert value == pytest.approx(100 * part.score, abs=3 if task.is_regression else 1e-10)


@pytest.mark.parametrize("name", DEV_SETS)
def test_constant_answers(name):
    task = DEV_SETS[name]
    _, targets = answers(task, 30, 5)
    for predictions, right in ((targets, targets), ([targets[0]] * 30, targets), (targets, [targets[0]] * 30)):
        exact = 100 * score(task, predictions, right).score
        assert units_of(name, predictions, right).score == pytest.approx(exact, abs=1e-10)
    # numbers that no binary fraction is
    if task.is_regression:
        assert units_of(name, [0.1] * 30, targets).score == 0
        assert units_of(name, targets, [0.1 + 0.2] * 30).score == 0


def test_of_a_run(tmp_path):
    content = {"MNLI-m": {"predictions": ["neutral", "neutral"], "targets": ["neutral", "entailment"]}}
    (tmp_path / "predictions.json").write_text(json.dumps(content))
    (units,) = prediction_units(tmp_path).values()
    assert (units.measure.name, units.score, units.sums.tolist()) == ("MNLI-m", 50, [[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"predictions\.json: evaluate the run with fairseq-plugins glue-evaluate"):
        prediction_units(tmp_path / "none")
