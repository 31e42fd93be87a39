"""What sparse mixings cost in several trained models: the analyses of ``analyse-attention`` side by side, over seeds.

The cost of a mixing is the model's loss with it less the loss with dense mixing, in nats a token of the same text.
Seeds are the samples of all intervals; the text counts as given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike

from .crossed import LEVEL, holm
from .page.numerals import interval, number, signed
from .runs import SEED_SUFFIX, read_json
from .statistics import mean_deviation
from .tables import csv_table, markdown_table, spread
from .verdict import p_value

DENSE, BLIND, NORM, AWARE = "dense", "top-r", "value-norm-r", "value-aware-r"
DIGITS, SHARE_DIGITS = 3, 2


@dataclass(frozen=True)
class Analysis:
    """One trained model under every mixing.

    Attributes:
        name, seed: of its run; runs of one name are one model under several seeds.
        losses: in nats a token, by mixing and r; dense mixing has r 0.
        entropy: of the attention weights in nats, mean over heads.
    """

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
    seed = re.search(r"seed(\d+)$", name)
    return Analysis(SEED_SUFFIX.sub("", name), int(seed[1]) if seed else 1, losses, sum(entropies) / len(entropies))


def grouped(analyses: Iterable[Analysis]) -> dict[str, list[Analysis]]:
    """By name, each in the order of its seeds.

    Raises:
        UserError: two of a name have one seed, or have not the same mixings at the same r.
    """
    groups: dict[str, list[Analysis]] = {}
    for analysis in analyses:
        groups.setdefault(analysis.name, []).append(analysis)
    every = [analysis for group in groups.values() for analysis in group]
    for analysis in every:
        if analysis.losses.keys() != every[0].losses.keys():
            raise UserError(
                f"{analysis.name} seed {analysis.seed} has other mixings or other r than {every[0].name} seed "
                f"{every[0].seed}; call analyse-attention with the same --mixings and --r for all"
            )
    for name, group in groups.items():
        group.sort(key=lambda analysis: analysis.seed)
        if len({analysis.seed for analysis in group}) < len(group):
            raise UserError(f"two analyses are of '{name}' with one seed")
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


def as_markdown(groups: Mapping[str, Sequence[Analysis]], baseline: str, r: int) -> str:
    """The costs, and the answers at one r, each with its sentences."""
    mixings, rs = parts(groups)
    rows = []
    for name, group in groups.items():
        entropy = spread(mean_deviation([one.entropy for one in group]))
        dense = spread(mean_deviation([one.losses[DENSE, 0] for one in group]), DIGITS)
        head = [name, str(len(group)), entropy, dense]
        for mixing in mixings:
            rows.append(
                [*head, mixing, *(spread(mean_deviation([one.cost(mixing, n) for one in group]), DIGITS) for n in rs)]
            )
            head = [""] * len(head)
    header = ["model", "seeds", "entropy (nats)", "dense loss", "mixing", *(f"r = {n}" for n in rs)]
    note = (
        "What a mixing costs: loss in nats a token, less the loss with dense mixing; ± is the standard deviation over "
        "seeds."
    )
    lines = [markdown_table(header, rows, [note])]
    if BLIND in mixings and AWARE in mixings:
        lines += ["", *values_answer(groups, r)]
        if NORM in mixings:
            lines += ["", *norm_answer(groups, r)]
    if BLIND in mixings and len(groups) > 1:
        lines += ["", *baseline_answer(groups, baseline, r)]
    return "\n".join(lines)


def values_answer(groups: Mapping[str, Sequence[Analysis]], r: int) -> list[str]:
    """A sentence for each model: what it is worth to look at the values."""
    sentences = []
    for name, found in gains(groups, r).items():
        blind, aware = (
            sum(one.cost(mixing, r) for one in groups[name]) / len(groups[name]) for mixing in (BLIND, AWARE)
        )
        sentences.append(
            f"{name}, r = {r}: {BLIND} costs {number(blind, DIGITS)} nats and {AWARE} {number(aware, DIGITS)}; "
            f"{_told(found, len(groups[name]), f'{BLIND} less {AWARE}')}"
        )
    return sentences


def norm_answer(groups: Mapping[str, Sequence[Analysis]], r: int) -> list[str]:
    """A sentence for each model: how much of what the values are worth is won by looking at their norms alone."""
    sentences = []
    for name, found in shares(groups, r).items():
        cost, _ = mean_deviation([one.cost(NORM, r) for one in groups[name]])
        start = f"{name}, r = {r}: {NORM} costs {number(cost, DIGITS)} nats"
        if found is None:
            sentences.append(f"{start}; no share, {AWARE} does not win with every seed.")
            continue
        seeds = len(groups[name])
        if found.low is None:
            spanned = f"no interval, {_why_untested(seeds)}"
        else:
            spanned = f"95 % interval {interval(asdict(found), SHARE_DIGITS)}, {seeds} seeds"
        sentences.append(
            f"{start} and wins {number(found.mean, SHARE_DIGITS)} of what {AWARE} wins over {BLIND} ({spanned})."
        )
    return sentences


def baseline_answer(groups: Mapping[str, Sequence[Analysis]], baseline: str, r: int) -> list[str]:
    """A sentence for each other model: whether it loses more than the baseline where values are not looked at."""
    sentences = []
    for name, found in against(groups, baseline, r).items():
        mean = sum(one.cost(BLIND, r) for one in groups[name]) / len(groups[name])
        other = sum(one.cost(BLIND, r) for one in groups[baseline]) / len(groups[baseline])
        sentences.append(
            f"{BLIND} at r = {r} costs {name} {number(mean, DIGITS)} and {baseline} {number(other, DIGITS)} nats; "
            f"{_told(found, min(len(groups[name]), len(groups[baseline])), f'{name} less {baseline}')}"
        )
    return sentences


def _told(found: Difference | None, seeds: int, what: str) -> str:
    if found is None:
        return f"no test, {_why_untested(seeds)}."
    way = "no difference was found" if found.p_holm >= LEVEL else "a difference"
    return (
        f"{way}: {what} {signed(found.difference, DIGITS)} (95 % interval {interval(asdict(found), DIGITS)}, "
        f"{p_value(found.p_holm)} after Holm's correction, {seeds} seeds)."
    )


def _why_untested(seeds: int) -> str:
    return "one seed" if seeds < 2 else "the seeds do not differ"


def as_csv(groups: Mapping[str, Sequence[Analysis]]) -> str:
    """A line for each model, seed, mixing and r."""
    rows = [
        [analysis.name, analysis.seed, mixing, r, f"{loss:.6f}", f"{loss - analysis.losses[DENSE, 0]:.6f}"]
        for group in groups.values()
        for analysis in group
        for (mixing, r), loss in analysis.losses.items()
    ]
    return csv_table(["model", "seed", "mixing", "r", "loss", "cost"], rows)


def as_record(groups: Mapping[str, Sequence[Analysis]], baseline: str, r: int) -> dict[str, Any]:
    """Plain data for JSON: the losses, and the tests at one r."""
    models = [
        {
            "name": name,
            "seeds": [analysis.seed for analysis in group],
            "entropy": [analysis.entropy for analysis in group],
            "losses": [
                {"mixing": mixing, "r": n, "losses": [analysis.losses[mixing, n] for analysis in group]}
                for mixing, n in group[0].losses
            ],
        }
        for name, group in groups.items()
    ]

    def tests(found: Mapping[str, Difference | None] | Mapping[str, Share | None]) -> dict[str, Any]:
        return {name: asdict(difference) if difference else None for name, difference in found.items()}

    mixings, _ = parts(groups)
    answers: dict[str, Any] = {"r": r, "baseline": baseline}
    if BLIND in mixings and AWARE in mixings:
        answers["top-r less value-aware-r"] = tests(gains(groups, r))
        if NORM in mixings:
            answers["value-norm-r's share of that"] = tests(shares(groups, r))
    if BLIND in mixings:
        answers["top-r's cost less the baseline's"] = tests(against(groups, baseline, r))
    return {"models": models, "answers": answers}


def plot_costs(groups: Mapping[str, Sequence[Analysis]], path: PathLike) -> None:
    """Cost against r: a panel a model, a colour a mixing, a thin line a seed."""
    from .plots import new_figure, save

    mixings, rs = parts(groups)
    figure, axes = new_figure(1, len(groups), figsize=(3.4 * len(groups), 3.4), squeeze=False, sharey=True)
    for axis, (name, group) in zip(axes[0], groups.items()):
        for colour, mixing in enumerate(mixings):
            costs = [[max(analysis.cost(mixing, r), 1e-5) for r in rs] for analysis in group]
            for values in costs if len(group) > 1 else []:
                axis.plot(rs, values, color=f"C{colour}", linewidth=0.6, alpha=0.5)
            means = [sum(values) / len(values) for values in zip(*costs)]
            axis.plot(
                rs, means, color=f"C{colour}", linewidth=1.6, marker="os^Dv"[colour % 5], markersize=4, label=mixing
            )
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(rs, [str(r) for r in rs])
        axis.set_xlabel("r (keys a query)")
        axis.set_title(name, fontsize=10)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("cost over dense (nats a token)")
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    save(figure, path)
