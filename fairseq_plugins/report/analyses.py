"""What sparse mixings cost in several trained models: the analyses of ``analyse-attention`` side by side, over seeds.

The cost of a mixing is the model's loss with it less the loss with dense mixing, in nats a token of the same text.
Seeds are the samples of all intervals; the text counts as given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scipy import stats

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike

from .crossed import LEVEL, holm
from .runs import SEED_SUFFIX, by_name, read_json
from .statistics import mean_deviation

DENSE, BLIND, NORM, AWARE = "dense", "top-r", "value-norm-r", "value-aware-r"


@dataclass(frozen=True)
class Analysis:
    """One trained model under every mixing.

    Attributes:
        folder, name, seed: of its run; runs of one name are one model under several seeds.
        losses: in nats a token, by mixing and r; dense mixing has r 0.
        entropy: of the attention weights in nats, mean over heads.
    """

    folder: str
    name: str
    seed: int
    losses: Mapping[tuple[str, int], float]
    entropy: float

    def cost(self, mixing: str, r: int) -> float:
        """Nats a token more than with dense mixing."""
        return self.losses[mixing, r] - self.losses[DENSE, 0]


@dataclass(frozen=True)
class Difference:
    """A mean difference with its 95 % interval; p for itself, and corrected over the models."""

    difference: float
    low: float
    high: float
    p: float
    p_holm: float = math.nan


@dataclass(frozen=True)
class Share:
    """A mean share with its 95 % interval, which one seed, or seeds that do not differ, have not."""

    mean: float
    low: float | None = None
    high: float | None = None


def read_analysis(run: PathLike) -> Analysis:
    """That of a run's folder, or of a folder that ``analyse-attention`` wrote.

    Raises:
        UserError: it is missing, damaged or not complete; the message names the file and the remedy.
    """
    folder = Path(run)
    path = folder / "analysis" / "analysis.json"
    if not path.is_file() and (folder / "analysis.json").is_file():
        path, folder = folder / "analysis.json", folder.resolve().parent
    content = read_json(path, "make it with fairseq-plugins analyse-attention")
    losses = {(result["mixing"], int(result["r"])): float(result["loss"]) for result in content["results"]}
    if (DENSE, 0) not in losses or not content["weights"]:
        raise UserError(f"{path} is not complete; call analyse-attention again, which goes on")
    entropies = [value for place in content["weights"] for value in place["entropy"]]
    name = folder.resolve().name
    seed = SEED_SUFFIX.search(name)
    return Analysis(
        str(run), SEED_SUFFIX.sub("", name), int(seed[1]) if seed else 1, losses, sum(entropies) / len(entropies)
    )


def grouped(analyses: Iterable[Analysis]) -> dict[str, list[Analysis]]:
    """By name, each in the order of its seeds.

    Raises:
        UserError: two of a name have one seed, or some have other mixings or other r.
    """
    groups = by_name(analyses)
    first, *others = [analysis for group in groups.values() for analysis in group]
    for analysis in others:
        if analysis.losses.keys() != first.losses.keys():
            raise UserError(
                f"{analysis.folder} has other mixings or other r than {first.folder}; call analyse-attention with the "
                "same --mixings and --r for all"
            )
    return groups


def parts(groups: Mapping[str, Sequence[Analysis]]) -> tuple[list[str], list[int]]:
    """The sparse mixings and the r."""
    losses = next(iter(groups.values()))[0].losses
    return list(dict.fromkeys(name for name, _ in losses if name != DENSE)), sorted({r for _, r in losses if r})


def gains(groups: Mapping[str, Sequence[Analysis]], r: int) -> dict[str, Difference | None]:
    """Of each model, what ``top-r`` costs more than ``value-aware-r``: a paired t-test over seeds; None of one seed."""
    return _corrected(
        {
            name: _one_sample([one.losses[BLIND, r] - one.losses[AWARE, r] for one in group])
            for name, group in groups.items()
        }
    )


def shares(groups: Mapping[str, Sequence[Analysis]], r: int) -> dict[str, Share | None]:
    """Of each model, which part of what ``value-aware-r`` costs less than ``top-r`` is won by ``value-norm-r``.

    The mean over seeds of each seed's share; None where with some seed ``value-aware-r`` does not cost less.
    """
    return {name: _share(group, r) for name, group in groups.items()}


def _share(group: Sequence[Analysis], r: int) -> Share | None:
    whole = [one.losses[BLIND, r] - one.losses[AWARE, r] for one in group]
    if min(whole) <= 0:
        return None
    values = [(one.losses[BLIND, r] - one.losses[NORM, r]) / gain for one, gain in zip(group, whole)]
    mean, _ = mean_deviation(values)
    found = _one_sample(values)
    return Share(mean, found.low, found.high) if found else Share(mean)


def against(groups: Mapping[str, Sequence[Analysis]], baseline: str, r: int) -> dict[str, Difference | None]:
    """Of each other model, what ``top-r`` costs it more than the baseline: Welch's t-test over seeds."""
    costs = {name: [analysis.cost(BLIND, r) for analysis in group] for name, group in groups.items()}
    return _corrected({name: _welch(costs[name], costs[baseline]) for name in groups if name != baseline})


def _one_sample(values: Sequence[float]) -> Difference | None:
    if len(values) < 2 or max(values) == min(values):
        return None
    test = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(1 - LEVEL)
    return Difference(sum(values) / len(values), float(low), float(high), float(test.pvalue))


def _welch(values: Sequence[float], others: Sequence[float]) -> Difference | None:
    if min(len(values), len(others)) < 2 or max(values) == min(values):
        return None
    test = stats.ttest_ind(values, others, equal_var=False)
    low, high = test.confidence_interval(1 - LEVEL)
    return Difference(
        sum(values) / len(values) - sum(others) / len(others), float(low), float(high), float(test.pvalue)
    )


def _corrected(found: Mapping[str, Difference | None]) -> dict[str, Difference | None]:
    tested = [name for name, difference in found.items() if difference]
    values = holm([difference.p for difference in found.values() if difference])
    corrected = dict(zip(tested, values))
    return {
        name: Difference(**{**asdict(difference), "p_holm": corrected[name]}) if difference else None
        for name, difference in found.items()
    }
