"""The test over seeds and units: against scipy and worked analyses of variance."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.crossed import (
    NoTest,
    against_baseline,
    compare,
    holm,
    power,
    pseudo_values,
)
from fairseq_plugins.report.units import Measure

MEAN = Measure("mean", True, 2, "the mean", lambda sums: sums[..., 0] / sums[..., 1])
RATIO = Measure("ratio", True, 2, "a function that is not linear", lambda sums: np.exp(-sums[..., 0] / sums[..., 1]))


def runs_of(values):
    """``[S, N]`` values of units as the sums of S runs."""
    return [np.stack([row, np.ones_like(row)], axis=1) for row in values]


def drawn(rng, shape, seed, unit, noise):
    """Values ``[..., S, N]`` of one arm, by the standard deviation of each effect."""
    *studies, seeds, units = shape
    effects = seed * rng.normal(size=(*studies, seeds, 1)) + unit * rng.normal(size=(*studies, 1, units))
    return effects + noise * rng.normal(size=shape)


def welch(first, second):
    """p and degrees of freedom of Welch (1947), whose variances of the means have 2 degrees of freedom more."""
    parts = [arm.var(axis=-1, ddof=1) / arm.shape[-1] for arm in (first, second)]
    df = sum(parts) ** 2 / sum(part**2 / (arm.shape[-1] + 1) for part, arm in zip(parts, (first, second))) - 2
    return 2 * stats.t.sf(abs(stats.ttest_ind(second, first, axis=-1, equal_var=False).statistic), df), df


@pytest.mark.parametrize("sizes", [(2, 2), (3, 5), (8, 8)])
def test_is_welchs_where_units_differ_alike(sizes):
    """Of runs that differ by a constant on every unit, more units say nothing: scipy's test of the runs' scores."""
    rng = np.random.default_rng(1)
    units = rng.normal(size=50)
    scores = [rng.normal(size=size) + shift for size, shift in zip(sizes, (0, 1))]
    found = compare(MEAN, *(runs_of(arm[:, None] + units - units.mean()) for arm in scores))
    expected = stats.ttest_ind(scores[1], scores[0], equal_var=False)
    assert found.difference == pytest.approx(scores[1].mean() - scores[0].mean(), abs=1e-12)
    p, df = welch(*scores) if sizes == (8, 8) else (expected.pvalue, expected.df)
    assert (found.p, found.df) == (pytest.approx(p, rel=1e-9), pytest.approx(df, rel=1e-9))
    reach = stats.t.isf(0.025, df) * found.difference / expected.statistic
    assert (found.low, found.high) == pytest.approx((found.difference - reach, found.difference + reach), rel=1e-9)
    assert found.shares == {"seeds": pytest.approx(1), "units": pytest.approx(0, abs=1e-9)}


def test_is_the_paired_test_of_units_where_seeds_agree():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 40))
    wobble = 1e-4 * np.array([[-1.0], [0.0], [1.0]])
    found = compare(MEAN, runs_of(first + wobble), runs_of(second + 0.5 + wobble))
    expected = stats.ttest_rel(second + 0.5, first)
    assert (found.p, found.df) == (pytest.approx(expected.pvalue, rel=1e-5), pytest.approx(39, rel=1e-5))
    assert found.shares["units"] == pytest.approx(1, abs=1e-5)
    assert found.seeds_for_half is None


def test_variance_is_that_of_the_mean_squares():
    """Both parts, by loops over an unbalanced table."""
    rng = np.random.default_rng(3)
    first, second = drawn(rng, (3, 20), 0.1, 0.5, 1), drawn(rng, (4, 20), 0.2, 0.5, 1) + 0.3
    noise = []
    for arm in (first, second):
        squares = [
            (arm[s, u] - arm[s].mean() - arm[:, u].mean() + arm.mean()) ** 2
            for s, u in itertools.product(range(len(arm)), range(20))
        ]
        noise.append(sum(squares) / ((len(arm) - 1) * 19) / (len(arm) * 20))
    seeds = [arm.mean(1).var(ddof=1) / len(arm) for arm in (first, second)]
    paired = (second.mean(0) - first.mean(0)).var(ddof=1) / 20
    units = paired - sum(noise)
    assert units > 0
    total = sum(seeds) + units
    pieces = [(seeds[0], 2), (seeds[1], 3), (paired, 19), (noise[0], 2 * 19), (noise[1], 3 * 19)]
    found = compare(MEAN, runs_of(first), runs_of(second))
    assert found.standard_error == pytest.approx(math.sqrt(total), rel=1e-9)
    assert found.df == pytest.approx(total**2 / sum(piece**2 / df for piece, df in pieces), rel=1e-9)
    assert found.shares == {"seeds": pytest.approx(sum(seeds) / total), "units": pytest.approx(units / total)}


def test_pseudo_values_leave_each_unit_out():
    sums = np.random.default_rng(4).uniform(1, 2, size=(6, 2))
    expected = []
    for left_out in range(6):
        rest = np.delete(sums, left_out, axis=0)
        expected.append(6 * RATIO.of_sums(sums.sum(0)) - 5 * RATIO.of_sums(rest.sum(0)))
    np.testing.assert_allclose(pseudo_values(RATIO, sums), expected, rtol=1e-12)
    values = np.random.default_rng(5).normal(size=(1, 6))
    np.testing.assert_allclose(pseudo_values(MEAN, *runs_of(values)), values[0], rtol=1e-9)


# ---- what it finds


@pytest.mark.parametrize(("df", "level"), [(4, 0.05), (8, 0.05), (30, 0.01)])
def test_power_is_that_of_the_noncentral_t(df, level):
    critical = stats.t.isf(level / 2, df)
    for shift in (0.0, 1.0, 3.5):
        expected = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
        assert power(shift, df, level) == pytest.approx(expected, abs=2e-4)


def test_detectable_difference_is_found_four_times_in_five():
    """By scipy's test of simulated scores: the difference with these seeds, and half of it with more."""
    rng = np.random.default_rng(7)
    scores = 0.3 * np.array([-1.0, -1, 0, 1, 1])[:, None]  # their deviation is 0.3
    found = compare(MEAN, runs_of(scores + np.zeros(20)), runs_of(scores + np.ones(20)))
    for seeds, shift in ((5, found.detectable), (found.seeds_for_half, found.detectable / 2)):
        first, second = 0.3 * rng.normal(size=(2, 20000, seeds))
        p, _ = welch(first, second + shift)
        assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.03)  # Welch's df vary


# ---- several variants


def test_holm_is_the_closed_test():
    """A hypothesis is rejected where Bonferroni rejects every set that it is in."""
    rng = np.random.default_rng(8)
    for count in (1, 2, 5):
        p_values = list(rng.uniform(0, 0.4, size=count))
        sets = [chosen for size in range(1, count + 1) for chosen in itertools.combinations(range(count), size)]
        for at, corrected in enumerate(holm(p_values)):
            worst = max(len(chosen) * min(p_values[i] for i in chosen) for chosen in sets if at in chosen)
            assert corrected == pytest.approx(min(1, worst))
    assert holm([]) == []


def test_variants_are_corrected_together():
    rng = np.random.default_rng(9)
    base, one, two = (runs_of(drawn(rng, (4, 30), 0.1, 0, 1) + shift) for shift in (0, 1, 0.3))
    tested, untested = against_baseline(MEAN, base, {"one": one, "two": two, "single": one[:1]})
    assert list(tested) == ["one", "two"]
    assert "one seed" in untested["single"]
    alone = [compare(MEAN, base, runs) for runs in (one, two)]
    assert [found.p for found in tested.values()] == [found.p for found in alone]
    assert [found.p_holm for found in tested.values()] == holm([found.p for found in alone])
    # what is found in spite of the correction is larger
    assert all(tested[name].detectable > found.detectable for name, found in zip(tested, alone))


# ---- what is not as it should be


def test_same_outputs():
    """Of systems that never differ, no difference; where only seeds do not differ, nothing can be said of them."""
    values = np.random.default_rng(10).normal(size=(1, 30))
    same = runs_of(np.repeat(values, 3, axis=0))
    found = compare(MEAN, same, same[:2])
    assert (found.difference, found.low, found.high, found.p, found.p_holm) == (0, 0, 0, 1, 1)
    with pytest.raises(NoTest, match="copies of one run"):
        compare(MEAN, same, runs_of(np.repeat(values + 0.1, 2, axis=0)))
    # one arm alone, as that of a model that always answers the same: Welch's test has the other one's deviation
    rest = drawn(np.random.default_rng(11), (4, 30), 0.3, 0, 0.1) + values
    assert compare(MEAN, same, runs_of(rest)).df >= 3


def test_sums_that_the_score_does_not_use():
    """Outputs that differ in what the metric never looks at are the same to it."""
    first, second = np.random.default_rng(13).normal(size=(2, 3, 30))
    blind = Measure("blind", True, 2, "the first sum alone", lambda sums: sums[..., 0])
    runs = [np.stack([np.arange(30.0), noise], axis=1) for noise in (*first, *second)]
    assert compare(blind, runs[:3], runs[3:]).p == 1


def test_scores_that_agree_by_chance_are_no_certainty():
    """Accuracy on few examples: the runs err on different ones, as often."""
    right = np.ones((4, 20))
    for run, wrong in enumerate(((0, 1), (2, 3), (4, 5, 6), (7, 8, 9))):
        right[run, list(wrong)] = 0
    found = compare(MEAN, runs_of(right[:2]), runs_of(right[2:]))
    assert found.difference == pytest.approx(-0.05)
    assert found.p > 0.2


def test_refused():
    rng = np.random.default_rng(12)
    runs = runs_of(rng.normal(size=(3, 10)))
    with pytest.raises(NoTest, match="one seed"):
        compare(MEAN, runs, runs[:1])
    with pytest.raises(NoTest, match="one unit"):
        compare(MEAN, [run[:1] for run in runs], [run[:1] for run in runs])
    with pytest.raises(UserError, match="different test sets"):
        compare(MEAN, runs, [run[:9] for run in runs])
    broken = [run.copy() for run in runs]
    broken[1][4, 0] = math.nan
    with pytest.raises(UserError, match="run 2 of the variant is not a number"):
        compare(MEAN, runs, broken)
