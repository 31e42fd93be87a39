"""What the analyses of several models say: the table of costs, the answers in sentences, CSV, JSON and the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fairseq_plugins.lines import PathLike

from .analyses import AWARE, BLIND, DENSE, NORM, Analysis, Difference, Share, against, gains, parts, shares
from .crossed import LEVEL
from .page.numerals import interval, number, signed
from .statistics import mean_deviation
from .tables import csv_table, markdown_table, spread
from .verdict import p_value

DIGITS, SHARE_DIGITS = 3, 2


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
