"""The width of the feed-forward layers with which a model takes as much as another."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fairseq_plugins.errors import UserError

from . import quantities
from .checks import parsed
from .recipes import Training
from .spec import Budget, Variant

#: measures of the solver at most; what is linear in the width needs three
TRIES = 12
#: fraction of the target that it does not try to come nearer than
NEAR = 0.0005
UNITS = {
    "parameters": "parameters",
    "operations": "operations a token",
    "seconds": "times the other's seconds",
}


@dataclass(frozen=True)
class Solution:
    """Feed-forward widths by side, what the model takes with them, and what it was to take."""

    widths: Mapping[str, int]
    value: float
    target: float

    def words(self) -> list[str]:
        """The options for fairseq-train."""
        return [word for side, width in self.widths.items() for word in (f"--{side}-ffn-embed-dim", str(width))]


def sides(args: Namespace) -> dict[str, int]:
    """The feed-forward widths of a model as it is."""
    kinds = {"masked_lm": ("encoder",), "language_modeling": ("decoder",)}
    return {side: int(getattr(args, f"{side}_ffn_embed_dim")) for side in kinds.get(args.task, ("encoder", "decoder"))}


def solve(
    name: str, widths: Mapping[str, int], measure: Callable[[Mapping[str, int]], float], target: float, budget: Budget
) -> Solution:
    """Widen or narrow all feed-forward layers by one factor until the measure is the target, by the secant method.

    Args:
        name: of the variant, in messages.
        widths: as they are.
        measure: of a model with such widths; it grows with them.
        target: what it is to be.
        budget: what it is, and how near is near enough.

    Raises:
        UserError: no width meets it.
    """
    tried: dict[float, Solution] = {}
    unit = UNITS[budget.quantity]

    def attempt(factor: float) -> Solution:
        scaled = {side: max(1, round(width * factor)) for side, width in widths.items()}
        known = next((solution for solution in tried.values() if solution.widths == scaled), None)
        tried[factor] = known or Solution(scaled, measure(scaled), target)
        return tried[factor]

    def distance(factor: float) -> float:
        return abs(tried[factor].value - target)

    if attempt(0.0).value > target * (1 + budget.tolerance):
        raise UserError(
            f"{budget.place}: {name} takes {tried[0.0].value:,.6g} {unit} even with feed-forward layers of width 1, "
            f"more than the {target:,.6g} that it is to take; compare it with a larger model, or say budget: own for it"
        )
    attempt(1.0)
    while len(tried) < TRIES:
        first, second = sorted(tried, key=distance)[:2]
        rise = tried[second].value - tried[first].value
        if distance(first) <= NEAR * target or rise == 0:
            break
        factor = max(0.0, first + (target - tried[first].value) * (second - first) / rise)
        if factor in tried:
            break
        attempt(factor)
    best = tried[min(tried, key=distance)]
    missed = abs(best.value / target - 1)
    if missed > budget.tolerance:
        found = ", ".join(f"{side} {width}" for side, width in best.widths.items())
        raise UserError(
            f"{budget.place}: {name} comes no nearer to {target:,.6g} {unit} than {best.value:,.6g} "
            f"({100 * missed:.2f} %, feed-forward widths: {found}), and {100 * budget.tolerance:g} % are asked; say "
            f"tolerance: {missed * 1.1:.1g} to take that"
        )
    return best


def meet_budgets(
    variants: Mapping[str, Variant], trainings: Mapping[str, Training], vocabulary: int | None = None
) -> dict[str, Solution]:
    """The widths of every variant that has a budget to meet.

    Args:
        trainings: of the variants as they are.
        vocabulary: symbols of the dictionary, where the data are not there yet; enough to count parameters.

    Raises:
        UserError: one cannot be met.
    """
    arguments = {name: parsed(training, variants[name].place) for name, training in trainings.items()}
    found = {}
    for name, variant in variants.items():
        budget = variant.budget
        if budget is None:
            continue
        wide = sides(arguments[name])

        def with_widths(widths: Mapping[str, int], args: Namespace = arguments[name]) -> Namespace:
            changed = copy.copy(args)
            for side, width in widths.items():
                setattr(changed, f"{side}_ffn_embed_dim", width)
            return changed

        if budget.quantity == "seconds":
            found[name] = solve_seconds(name, wide, with_widths, arguments[budget.to], budget)
            continue

        def take(args: Namespace, quantity: str = budget.quantity) -> float:
            return quantities.parameters(args, vocabulary) if quantity == "parameters" else quantities.operations(args)

        target = take(arguments[budget.to])
        found[name] = solve(name, wide, lambda widths: take(with_widths(widths)), target, budget)
    return found


def solve_seconds(
    name: str, wide: Mapping[str, int], with_widths: Callable[..., Namespace], other: Namespace, budget: Budget
) -> Solution:
    """The widths with which a token takes as many seconds as of another model, measured in turn.

    Raises:
        UserError: the machine is too noisy to tell.
    """
    scatter = 0.0

    def measure(widths: Mapping[str, int]) -> float:
        nonlocal scatter
        ratio, spread = quantities.seconds_ratio(with_widths(widths), other)
        scatter = max(scatter, spread)
        return ratio

    solution = solve(name, wide, measure, 1.0, budget)
    if scatter > budget.tolerance:
        raise UserError(
            f"{budget.place}: the seconds of {name} scatter by {100 * scatter:.2g} % from round to round here, more "
            f"than the {100 * budget.tolerance:g} % asked for; take a quieter machine, or say tolerance: "
            f"{scatter * 1.1:.1g}"
        )
    return solution
