"""Metrics against their definitions, written out, and where they have no value."""

import importlib.util
import sys

import numpy as np
import pytest

from fairseq_plugins.errors import UserError
from fairseq_plugins.glue.metrics import check_installed, score
from fairseq_plugins.glue.tasks import TASKS

# found and not imported: every worker collects this file
pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("sklearn") and importlib.util.find_spec("scipy")), reason="no sklearn or scipy"
)


def counts(predictions, targets, positive):
    """True positives, false positives, false negatives, true negatives."""
    pairs = [(prediction == positive, target == positive) for prediction, target in zip(predictions, targets)]
    return [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]


def ranks(values):
    """Mean ranks, by counting."""
    return [np.mean([k for k, other in enumerate(sorted(values)) if other == value]) for value in values]


def test_by_hand():
    # 3 true and 2 false positives, 1 false and 4 true negatives
    predictions, targets = [*"1110001000"], [*"1110000001"]
    predictions[7] = "1"
    assert counts(predictions, targets, "1") == [3, 2, 1, 4]
    found = score(TASKS["MRPC"], predictions, targets)
    assert found.metrics == {"accuracy": pytest.approx(0.7), "f1": pytest.approx(2 * 3 / (2 * 3 + 2 + 1))}
    assert found.score == pytest.approx((0.7 + 2 / 3) / 2)
    found = score(TASKS["CoLA"], predictions, targets)
    assert found.score == pytest.approx((3 * 4 - 2 * 1) / np.sqrt(5 * 4 * 6 * 5)) == found.metrics["matthews"]
    assert found.notes == []


@pytest.mark.parametrize("seed", range(5))
def test_classification_by_definition(seed):
    draw = np.random.default_rng(seed)
    targets = draw.choice(["0", "1"], 60, p=[0.7, 0.3]).tolist()
    predictions = [target if draw.random() < 0.7 else draw.choice(["0", "1"]).item() for target in targets]
    tp, fp, fn, tn = counts(predictions, targets, "1")
    found = score(TASKS["QQP"], predictions, targets)
    accuracy, f1 = (tp + tn) / 60, 2 * tp / (2 * tp + fp + fn)
    assert found.metrics == {"accuracy": pytest.approx(accuracy), "f1": pytest.approx(f1)}
    assert found.score == pytest.approx((accuracy + f1) / 2)
    # of the positive class: that of the other one differs
    assert abs(f1 - 2 * tn / (2 * tn + fp + fn)) > 0.01
    matthews = (tp * tn - fp * fn) / np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    assert score(TASKS["CoLA"], predictions, targets).score == pytest.approx(matthews)
    labels = TASKS["MNLI"].classes
    three = [labels[k] for k in draw.integers(3, size=30)]
    guesses = [labels[k] for k in draw.integers(3, size=30)]
    right = sum(a == b for a, b in zip(three, guesses))
    assert score(TASKS["MNLI"], guesses, three) == (
        {"accuracy": pytest.approx(right / 30)},
        pytest.approx(right / 30),
        [],
    )


@pytest.mark.parametrize("seed", range(5))
def test_regression_by_definition(seed):
    draw = np.random.default_rng(seed)
    targets = draw.choice([0.0, 1.2, 3.8, 5.0], 40).tolist()
    predictions = [target**2 + noise for target, noise in zip(targets, draw.normal(size=40).round(1))]
    found = score(TASKS["STS-B"], predictions, targets)
    pearson = np.corrcoef(predictions, targets)[0, 1]
    spearman = np.corrcoef(ranks(predictions), ranks(targets))[0, 1]
    assert found.metrics == {"pearson": pytest.approx(pearson), "spearman": pytest.approx(spearman)}
    assert found.score == pytest.approx((pearson + spearman) / 2)


def test_constant_predictions_have_a_score_and_a_note():
    targets = ["1", "1", "0"]
    found = score(TASKS["CoLA"], ["1"] * 3, targets)
    assert found == ({"accuracy": pytest.approx(2 / 3), "matthews": 0.0}, 0.0, ["every prediction is '1'"])
    found = score(TASKS["MRPC"], ["0"] * 3, targets)
    assert (found.metrics["f1"], found.notes) == (0.0, ["every prediction is '0'"])
    # not even a target of the positive class
    assert score(TASKS["MRPC"], ["0"] * 3, ["0"] * 3).metrics == {"accuracy": 1.0, "f1": 0.0}
    for predictions, scores, what in (([2.5] * 3, [1.0, 2.0, 3.0], "predictions"), ([1.0, 2.0], [5.0, 5.0], "targets")):
        found = score(TASKS["STS-B"], predictions, scores)
        assert found.metrics == {"pearson": 0.0, "spearman": 0.0}
        assert found.notes == [f"all {what} are equal: the correlations are undefined, taken as 0"]


def test_refusals(monkeypatch):
    with pytest.raises(ValueError, match="CoLA: 1 predictions for 2 examples"):
        score(TASKS["CoLA"], ["1"], ["1", "0"])
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(UserError, match=r"need scikit-learn; run: pip install 'fairseq_plugins\[glue\]'"):
        score(TASKS["CoLA"], ["1"], ["1"])
    with pytest.raises(UserError, match="need scipy"):
        score(TASKS["STS-B"], [1.0], [1.0])


def test_missing_packages_are_named_before_the_work(monkeypatch):
    check_installed()
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "scipy" else find_spec(name))
    with pytest.raises(UserError, match=r"need scipy; run: pip install 'fairseq_plugins\[glue\]'"):
        check_installed()
