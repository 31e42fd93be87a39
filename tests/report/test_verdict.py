"""What a study says: the sentences follow its tests, and nothing else."""

import copy

import pytest

from fairseq_plugins.report.verdict import p_value, signed, verdict


def comparison(difference, low, high, p, p_holm, detectable=1.044, seeds_for_half=18):
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "p": p,
        "p_holm": p_holm,
        "standard_error": 0.3,
        "df": 7.5,
        "shares": {"seeds": 0.9, "units": 0.1},
        "detectable": detectable,
        "seeds_for_half": seeds_for_half,
    }


def variant(name, seeds=5, why=None, **against):
    return {"name": name, "seeds": list(range(1, seeds + 1)), "against_baseline": against or None, "why_no_test": why}


def results(*variants, metric="BLEU", higher=True, digits=2, missing=()):
    metrics = [
        {"name": "chrF2", "higher_is_better": True, "digits": 2, "primary": False},
        {"name": metric, "higher_is_better": higher, "digits": digits, "primary": True},
    ]
    test_set = {"name": "test", "units": "sentences", "count": 1500}
    everyone = [variant("baseline"), *variants]
    return {"metrics": metrics, "test_set": test_set, "variants": everyone, "missing": list(missing)}


BETTER = comparison(1.2, 0.5, 1.9, 0.0015, 0.003)
NOTHING = comparison(0.2, -0.5, 0.9, 0.6, 0.6)


def test_a_difference():
    assert verdict(results(variant("neuralqkv", BLEU=BETTER))) == {
        "headline": "BLEU: neuralqkv is better than baseline",
        "sentences": [
            "neuralqkv is better than baseline: BLEU +1.20 (95 % interval +0.50 to +1.90, p = 0.003), 5 seeds each, "
            "1,500 sentences."
        ],
    }


def test_no_difference_tells_what_would_have_been_found():
    """Rounded up: a difference of 1.04 was not shown to be found."""
    (sentence,) = verdict(results(variant("pairwise", seeds=4, BLEU=NOTHING)))["sentences"]
    assert sentence == (
        "No difference was found between pairwise and baseline: BLEU +0.20 (95 % interval \N{MINUS SIGN}0.50 to +0.90, "
        "p = 0.600), 4 seeds against 5, 1,500 sentences. Four of five such studies find a true difference of 1.05 or "
        "more; half of that takes 18 seeds each."
    )
    never = {**NOTHING, "seeds_for_half": None}
    (sentence,) = verdict(results(variant("pairwise", BLEU=never)))["sentences"]
    assert sentence.endswith("1.05 or more; no number of seeds finds half of that on this test set.")


@pytest.mark.parametrize(
    ("metric", "higher", "difference", "word"),
    [("BLEU", True, 1.0, "better"), ("BLEU", True, -1.0, "worse"), ("loss", False, -1.0, "better")],
)
def test_which_way_is_better(metric, higher, difference, word):
    found = {metric: comparison(difference, difference - 0.5, difference + 0.5, 0.001, 0.001)}
    said = verdict(results(variant("x", **found), metric=metric, higher=higher))
    assert said["headline"] == f"{metric}: x is {word} than baseline"
    assert f"x is {word} than baseline" in said["sentences"][0]


def test_only_the_corrected_p_of_the_primary_metric_counts():
    """An interval without 0, a p below 5 % and a clear difference in another metric are not enough."""
    nearly = comparison(0.8, 0.1, 1.5, 0.03, 0.06)
    found = results(variant("x", BLEU=nearly, chrF2=BETTER), variant("y", BLEU=NOTHING, chrF2=BETTER))
    said = verdict(found)
    assert said["headline"] == "BLEU: no difference from baseline was found for x, y"
    assert "p = 0.060 after Holm's correction" in said["sentences"][0]
    assert not any(word in " ".join(said["sentences"]) for word in ("better", "worse", "significant", "equal"))
    # as near as can be
    found["variants"][1]["against_baseline"]["BLEU"]["p_holm"] = 0.05
    assert verdict(found)["headline"] == said["headline"]


def test_without_a_test_and_with_missing_runs():
    one_seed = variant("x", seeds=1, why="one seed says nothing of what other seeds would give")
    missing = [{"variant": "x", "seed": 2, "reason": "loss is not a number", "last_lines": []}]
    said = verdict(results(one_seed, variant("y", BLEU=BETTER), missing=missing))
    assert said["headline"] == "BLEU: y is better than baseline; no test of x"
    assert said["sentences"][0] == (
        "No test of x against baseline: one seed says nothing of what other seeds would give."
    )
    assert said["sentences"][-1] == (
        "Not in these numbers, since the runs are missing: x seed 2 (loss is not a number)."
    )
    assert "Holm" not in said["sentences"][1]  # of one test


def test_the_same_outputs_and_nothing_to_compare():
    same = {**comparison(0.0, 0.0, 0.0, 1.0, 1.0, 0.0, None), "standard_error": 0.0}
    said = verdict(results(variant("x", BLEU=same)))
    assert said["sentences"] == [
        "x and baseline scored the same on every sentence in every run: nothing tells them apart "
        "(5 seeds each, 1,500 sentences)."
    ]
    assert verdict(results())["headline"] == "BLEU: nothing to compare"


def test_results_are_left_as_they_are():
    given = results(variant("x", BLEU=BETTER))
    before = copy.deepcopy(given)
    verdict(given)
    assert given == before


def test_numbers():
    assert [signed(value, 2) for value in (1.204, -0.5, 0.0, -0.001)] == [
        "+1.20",
        "\N{MINUS SIGN}0.50",
        "+0.00",
        "+0.00",
    ]
    assert [p_value(p) for p in (0.0001, 0.0312, 0.6, 1.0)] == ["p < 0.001", "p = 0.031", "p = 0.600", "p = 1.000"]
    assert [p_value(p) for p in (0.0496, 0.04996, 0.05, 0.0504)] == [
        "p = 0.0496",
        "p = 0.04996",
        "p = 0.050",
        "p = 0.050",
    ]
