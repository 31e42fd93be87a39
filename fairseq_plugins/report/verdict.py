"""What a study found, in sentences that say no more than its tests do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .crossed import LEVEL
from .page.numerals import probability
from .tables import listed


def verdict(results: Mapping[str, Any]) -> dict[str, Any]:
    """The ``headline`` and the ``sentences`` of a study's results, of its primary metric alone.

    A difference is one where p after Holm's correction is below 5 %. Where it is not, the sentence says what could have
    been found. Nothing is ever said to be equal.
    """
    metric = next(metric for metric in results["metrics"] if metric["primary"])
    baseline, *others = results["variants"]
    tested = sum(_comparison(variant, metric) is not None for variant in others)
    groups: dict[str, list[str]] = {"better": [], "worse": [], "": [], "untested": []}
    sentences = []
    for variant in others:
        found = _comparison(variant, metric)
        if found is None:
            groups["untested"].append(variant["name"])
            why = variant["why_no_test"] or f"{metric['name']} is missing"
            sentences.append(f"No test of {variant['name']} against {baseline['name']}: {why}.")
        else:
            direction = _direction(found, metric)
            groups[direction].append(variant["name"])
            units = results["test_set"]["units"]
            sample = f"{_seeds(baseline, variant)}, {results['test_set']['count']:,} {units}"
            if found["standard_error"]:
                sentences.append(_sentence(baseline["name"], variant, found, metric, direction, tested > 1, sample))
            else:
                sentences.append(
                    f"{variant['name']} and {baseline['name']} scored the same on every {units.removesuffix('s')} in "
                    f"every run: nothing tells them apart ({sample})."
                )
    if results["missing"]:
        runs = (f"{run['variant']} seed {run['seed']} ({run['reason']})" for run in results["missing"])
        sentences.append(f"Not in these numbers, since the runs are missing: {'; '.join(runs)}.")

    parts = [f"{listed(groups[way])} {_is(groups[way])} {way} than {baseline['name']}" for way in ("better", "worse")]
    parts += [f"no difference from {baseline['name']} was found for {listed(groups[''])}"]
    parts += [f"no test of {listed(groups['untested'])}"]
    said = [part for part, names in zip(parts, groups.values()) if names]
    return {"headline": f"{metric['name']}: {'; '.join(said) or 'nothing to compare'}", "sentences": sentences}


def _comparison(variant: Mapping[str, Any], metric: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return (variant["against_baseline"] or {}).get(metric["name"])


def _direction(found: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """``better``, ``worse``, or nothing where the test finds no difference."""
    if found["p_holm"] >= LEVEL:
        return ""
    return "better" if (found["difference"] > 0) == metric["higher_is_better"] else "worse"


def _sentence(
    baseline: str,
    variant: Mapping[str, Any],
    found: Mapping[str, Any],
    metric: Mapping[str, Any],
    direction: str,
    corrected: bool,
    sample: str,
) -> str:
    name, digits = variant["name"], metric["digits"]
    low, high = (signed(found[bound], digits) for bound in ("low", "high"))
    p = p_value(found["p_holm"]) + (" after Holm's correction" if corrected else "")
    numbers = f"{metric['name']} {signed(found['difference'], digits)} (95 % interval {low} to {high}, {p})"
    if direction:
        return f"{name} is {direction} than {baseline}: {numbers}, {sample}."
    least = math.ceil(round(found["detectable"] * 10**digits, 6)) / 10**digits  # rounded up: no less was shown
    more = found["seeds_for_half"]
    half = (
        f"half of that takes {more:,} seeds each" if more else "no number of seeds finds half of that on this test set"
    )
    return (
        f"No difference was found between {name} and {baseline}: {numbers}, {sample}. "
        f"Four of five such studies find a true difference of {least:.{digits}f} or more; {half}."
    )


def _seeds(baseline: Mapping[str, Any], variant: Mapping[str, Any]) -> str:
    own, others = len(variant["seeds"]), len(baseline["seeds"])
    return f"{own} seeds each" if own == others else f"{own} seeds against {others}"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def signed(value: float, digits: int) -> str:
    """``+1.20``; of a number below 0 with the sign of mathematics."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if round(value, digits) else f"+{0:.{digits}f}"


def p_value(p: float) -> str:
    """``p = 0.031``, or ``p < 0.001``."""
    text = probability(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
