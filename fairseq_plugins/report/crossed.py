"""The difference between two variants, where both the seeds and the test set's units are samples.

A run of seed s on unit u of arm a scores ``mean_a + seed_as + unit_u + unit_au + noise_asu``: seeds are nested in
their arm (seed 1 of two architectures is no pair), units are crossed with both. The mean difference has the variance

    sum over arms of (var(seed_a) + var(noise_a) / N) / S_a  +  var(unit_B - unit_A) / N

The first part is Welch's and estimated from the scores of the runs, the second one from the units' differences less
what noise adds to them, and never below 0. Degrees of freedom are Welch's where the arms have equally many seeds, three
or more, else Satterthwaite's. A corpus metric is made additive by the jackknife over units. docs/statistics.md says
more and shows how often the test is wrong.

Sources: Satterthwaite (1946), An Approximate Distribution of Estimates of Variance Components; Welch (1947), The
Generalization of Student's Problem when Several Different Population Variances are Involved; Clark (1973), The
Language-as-Fixed-Effect Fallacy; Westfall, Kenny and Judd (2014), Statistical Power and Optimal Design in Experiments
in Which Samples of Participants Respond to Samples of Stimuli; Clark, Dyer, Lavie and Smith (2011), Better Hypothesis
Testing for Statistical Machine Translation.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from fairseq_plugins.errors import UserError

from .units import Measure

LEVEL = 0.05
POWER = 0.8
#: beyond so many seeds an arm, no number is said to help
MOST_SEEDS = 10**6


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline by one metric.

    Attributes:
        difference: mean of the variant less that of the baseline.
        low, high: the 95 % interval of the difference, for this comparison alone.
        p: two-sided, for this comparison alone.
        p_holm: corrected over the variants.
        shares: of the variance of the difference, what is due to ``seeds`` and to ``units``; both 0 where it is 0.
        detectable: the smallest true difference that is found in 80 % of such studies, after the correction.
        seeds_for_half: seeds an arm that would find half of ``detectable``; None where no number would.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    standard_error: float
    df: float
    shares: dict[str, float]
    detectable: float
    seeds_for_half: int | None


class NoTest(UserError):
    """Nothing says how much the seeds matter."""


@dataclass(frozen=True)
class Components:
    """The difference between two arms and its mean squares, as arrays of any one shape.

    Attributes:
        difference: of the arms' mean scores.
        seeds: variance of the runs' scores, of each arm.
        noise: variance of what is of one run and one unit alone, of each arm.
        paired: variance over units of the difference between the arms' means.
        sizes: seeds of each arm.
        units: how many.
    """

    difference: np.ndarray
    seeds: tuple[np.ndarray, np.ndarray]
    noise: tuple[np.ndarray, np.ndarray]
    paired: np.ndarray
    sizes: tuple[int, int]
    units: int

    def p(self, shift: float = 0.0) -> np.ndarray:
        """Two-sided.

        Args:
            shift: that is added to the second arm.
        """
        by_seeds, by_units, df = self.variances()
        return 2 * stats.t.sf(np.abs(self.difference + shift) / np.sqrt(by_seeds + by_units), df)

    def variances(self, sizes: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the difference: what seeds and what units add to it, and its degrees of freedom.

        Args:
            sizes: as if the arms had so many seeds.
        """
        noise = sum(spread / size for spread, size in zip(self.noise, self.sizes))
        by_units = np.maximum(self.paired - noise, 0.0) / self.units  # what more seeds do not take away
        sizes = sizes or self.sizes
        welch = [spread / size for spread, size in zip(self.seeds, sizes)]
        rest = [spread / size / self.units for spread, size in zip(self.noise, sizes)]
        by_seeds = welch[0] + welch[1]
        # Satterthwaite's: the square of each mean square over its own degrees of freedom. They are too few for arms of
        # equally many seeds, where Welch's are right, and right for others, where Welch's are too many.
        more = 2 if sizes[0] == sizes[1] > 2 else 0
        uncertain = sum(part**2 / (size - 1 + more) for part, size in zip(welch, sizes))
        of_units = (by_units + rest[0] + rest[1]) ** 2 + sum(
            part**2 / (size - 1 + more) for part, size in zip(rest, sizes)
        )
        uncertain = uncertain + np.where(by_units > 0, of_units, 0.0) / (self.units - 1 + more)
        return by_seeds, by_units, np.maximum((by_seeds + by_units) ** 2 / uncertain - more, min(sizes) - 1)


def components(scores: np.ndarray, covariance: np.ndarray, sizes: tuple[int, int], units: int) -> Components:
    """Mean squares of two arms, whose runs follow one another: those of the baseline first.

    Args:
        scores: ``[..., S_A + S_B]``, of the whole test set.
        covariance: ``[..., S_A + S_B, S_A + S_B]``, of the runs' pseudo-values over the units.
    """
    arms = slice(0, sizes[0]), slice(sizes[0], None)
    seeds, noise = [], []
    for arm, size in zip(arms, sizes):
        block, members = covariance[..., arm, arm], scores[..., arm]
        over_units = np.trace(block, axis1=-2, axis2=-1) - block.sum((-2, -1)) / size
        noise.append(np.maximum(over_units, 0.0) / (size - 1))
        # Scores that agree by chance, as those of few examples do, are as uncertain as noise makes them.
        chance = np.ptp(members, axis=-1) <= 1e-9 * np.abs(members).max(-1)
        seeds.append(np.where(chance, noise[-1] / units, members.var(-1, ddof=1)))
    weights = np.repeat([-1 / sizes[0], 1 / sizes[1]], sizes)
    paired = np.einsum("i,...ij,j->...", weights, covariance, weights)
    difference = scores[..., arms[1]].mean(-1) - scores[..., arms[0]].mean(-1)
    return Components(difference, (seeds[0], seeds[1]), (noise[0], noise[1]), paired, sizes, units)


def pseudo_values(measure: Measure, sums: np.ndarray) -> np.ndarray:
    """What each unit adds to a corpus score, by the jackknife: ``[N, k]`` sums to ``[N]`` values whose mean it is."""
    units, total = len(sums), sums.sum(0)
    return units * measure.of_sums(total) - (units - 1) * measure.of_sums(total - sums)


def compare(
    measure: Measure, baseline: Sequence[np.ndarray], other: Sequence[np.ndarray], comparisons: int = 1
) -> Comparison:
    """Test one variant against the baseline.

    Args:
        measure: the metric.
        baseline, other: for each seed ``[N, k]`` sums, of the same units in the same order.
        comparisons: how many variants are tested against this baseline: ``detectable`` is what is found in spite of
            the correction for so many. ``p_holm`` is that of the worst case; :func:`against_baseline` has the real one.

    Raises:
        NoTest: an arm has one seed, or the seeds of both arms have the same outputs.
        UserError: the runs are of different test sets, or a score is not a number.
    """
    sizes = len(baseline), len(other)
    if min(sizes) < 2:
        raise NoTest("one seed says nothing of what other seeds would give; train at least two of each")
    runs = [*baseline, *other]
    shapes = {run.shape for run in runs}
    if len(shapes) > 1:
        raise UserError(f"{measure.name}: the runs are of different test sets ({sorted(shapes)}); evaluate them alike")
    units = len(runs[0])
    if units < 2:
        raise NoTest("one unit says nothing of what others would give; take a larger test set")
    values = np.stack([pseudo_values(measure, run) for run in runs])
    scores = np.array([float(measure.of_sums(run.sum(0))) for run in runs])
    for number, (score, of_units) in enumerate(zip(scores, values)):
        if not (np.isfinite(score) and np.isfinite(of_units).all()):
            arm, place = ("baseline", number) if number < sizes[0] else ("variant", number - sizes[0])
            raise UserError(f"{measure.name} of run {place + 1} of the {arm} is not a number; evaluate it again")
    if _copies(values):
        return Comparison(0.0, 0.0, 0.0, 1.0, 1.0, 0.0, sum(sizes) - 2.0, {"seeds": 0.0, "units": 0.0}, 0.0, None)
    if _copies(values[: sizes[0]]) and _copies(values[sizes[0] :]):
        raise NoTest("all seeds of each variant have the same outputs, as copies of one run would")

    parts = components(scores, np.cov(values), sizes, units)
    by_seeds, by_units, df = (float(part) for part in parts.variances())
    difference, p = float(parts.difference), float(parts.p())
    error = float(np.sqrt(by_seeds + by_units))
    reach = error * float(stats.t.isf(LEVEL / 2, df))
    smallest = error * shift_for_power(df, LEVEL / comparisons)
    return Comparison(
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        p=p,
        p_holm=min(1.0, comparisons * p),
        standard_error=error,
        df=df,
        shares={"seeds": by_seeds / error**2, "units": by_units / error**2},
        detectable=smallest,
        seeds_for_half=_seeds_for(smallest / 2, parts, LEVEL / comparisons),
    )


def against_baseline(
    measure: Measure, baseline: Sequence[np.ndarray], others: Mapping[str, Sequence[np.ndarray]]
) -> tuple[dict[str, Comparison], dict[str, str]]:
    """Test every variant against the baseline; p is corrected over those for which there is a test.

    Returns ``{name: comparison}`` and, for the other names, why there is no test.

    Raises:
        UserError: as :func:`compare`.
    """
    tested: dict[str, Comparison] = {}
    untested: dict[str, str] = {}
    several = max(1, sum(len(runs) > 1 for runs in others.values()))
    for name, runs in others.items():
        try:
            tested[name] = compare(measure, baseline, runs, comparisons=several)
        except NoTest as error:
            untested[name] = str(error)
    corrected = holm([found.p for found in tested.values()])
    for name, p in zip(tested, corrected):
        tested[name] = dataclasses.replace(tested[name], p_holm=p)
    return tested, untested


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction, in the order of the p-values: the smallest times their number, the next times one less, ...

    Source: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for done, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[at]))
        corrected[at] = least
    return corrected


def power(shift: float, df: float, level: float) -> float:
    """How often a true difference of ``shift`` standard errors is found."""
    critical = _critical(df, level)
    return float((special.ndtr(shift - critical) + special.ndtr(-critical - shift)).mean())


@functools.lru_cache
def _critical(df: float, level: float, points: int = 1000) -> np.ndarray:
    """What a difference must exceed, for each of the standard errors that may be estimated where the true one is 1.

    Slower but safer than scipy's noncentral t, which fails for few degrees of freedom.
    """
    errors = np.sqrt(stats.chi2.ppf((np.arange(points) + 0.5) / points, df) / df)
    return stats.t.isf(level / 2, df) * errors


def shift_for_power(df: float, level: float) -> float:
    """The true difference, in standard errors, that is found with a power of 80 %."""
    most = 3 * float(stats.t.isf(level / 2, df)) + 3
    return float(optimize.brentq(lambda shift: power(shift, df, level) - POWER, 0.0, most, xtol=1e-6))


def _seeds_for(difference: float, parts: Components, level: float) -> int | None:
    """The fewest seeds an arm that find a true difference with a power of 80 %."""

    def enough(seeds: int) -> bool:
        *variances, df = parts.variances((seeds, seeds))
        return power(difference / float(np.sqrt(sum(variances))), float(df), level) >= POWER

    if not enough(MOST_SEEDS):
        return None
    few, many = 1, MOST_SEEDS
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def _copies(values: np.ndarray) -> bool:
    """Whether all runs ``[R, N]`` have the same values for every unit, up to rounding."""
    return bool(np.ptp(values, axis=0).max() <= 1e-6 * np.abs(values).max())
