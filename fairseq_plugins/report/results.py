"""What a comparison found, as plain data: ``results.json``, from which tables and pages are made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairseq_plugins.errors import UserError

from .crossed import against_baseline
from .runs import Run
from .statistics import mean_deviation
from .units import Units
from .verdict import verdict

#: what the units of a test set are called
UNIT_NAMES = {
    "translation": "sentences",
    "parsing": "sentences",
    "masked_lm": "blocks",
    "language_modeling": "blocks",
    "glue": "examples",
}


@dataclass
class Member:
    """A run with its scores.

    Attributes:
        units: metric -> the run by units of the test set; every run of a comparison has the same metrics.
        length_ratio: hypothesis length over reference length, of translations.
        command: that made it.
    """

    run: Run
    units: Mapping[str, Units]
    length_ratio: float | None = None
    command: str = ""


@dataclass
class Circumstances:
    """What a comparison is of, besides its runs; see ``results.json``."""

    task: str
    title: str
    question: str | None = None
    test_set: str = "test"
    seeds: Sequence[int] = ()
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    operations: Mapping[str, float] = field(default_factory=dict)
    missing: Sequence[Mapping[str, Any]] = ()
    control: Mapping[str, Any] = field(default_factory=lambda: {"budget": None, "data": None})
    tuning: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


def results_of(
    members: Mapping[str, Sequence[Member]], baseline: str, about: Circumstances, primary: str
) -> dict[str, Any]:
    """Everything that is said of a comparison.

    Args:
        members: variant -> its runs, in the order of their seeds.
        baseline: one of the variants.
        about: the rest.
        primary: the metric by which the verdict is.

    Raises:
        UserError: the runs do not go together.
    """
    first = members[baseline][0]
    measures = {name: units.measure for name, units in first.units.items()}
    tests = {}
    for name, measure in measures.items():
        sums = {variant: [run.units[name].sums for run in runs] for variant, runs in members.items()}
        tests[name] = against_baseline(measure, sums.pop(baseline), sums)
    variants = []
    for variant in [baseline, *(name for name in members if name != baseline)]:
        runs = members[variant]
        compared = {name: vars(found[variant]) for name, (found, _) in tests.items() if variant in found}
        why = next((reasons[variant] for _, reasons in tests.values() if variant in reasons), None)
        variants.append(
            {
                "name": variant,
                "arch": runs[0].run.arch,
                "options": list(about.options.get(variant, ())),
                "parameters": runs[0].run.parameters,
                "operations": about.operations.get(variant),
                "seeds": [member.run.seed for member in runs],
                "scores": {name: spread_of([float(member.units[name].score) for member in runs]) for name in measures},
                "against_baseline": compared or None,
                "why_no_test": why,
                "length_ratio": spread_of([m.length_ratio for m in runs if m.length_ratio is not None]),
                "validation": spread_of([best for member in runs if (best := best_loss(member.run)) is not None]),
                "curves": [
                    {"seed": m.run.seed, "points": [[u, loss] for u, loss in m.run.in_nats() if math.isfinite(loss)]}
                    for m in runs
                ],
                "runs": [
                    {"seed": m.run.seed, "folder": m.run.folder, "updates": m.run.updates, "command": m.command}
                    for m in runs
                ],
            }
        )
    found = {
        "format": 1,
        "title": about.title,
        "question": about.question,
        "task": about.task,
        "baseline": baseline,
        "seeds": list(about.seeds) or sorted({member.run.seed for runs in members.values() for member in runs}),
        "test_set": {
            "name": about.test_set,
            "units": UNIT_NAMES[about.task],
            "count": len(next(iter(first.units.values())).sums),
        },
        "metrics": [
            {
                "name": name,
                "higher_is_better": measure.higher_is_better,
                "digits": measure.digits,
                "signature": measure.signature,
                "primary": name == primary,
            }
            for name, measure in measures.items()
        ],
        "variants": variants,
        "missing": list(about.missing),
        "control": dict(about.control),
        "tuning": about.tuning,
        "analysis": None,
        "provenance": {**about.provenance, "signatures": {name: m.signature for name, m in measures.items()}},
    }
    return {**found, "verdict": verdict(found)}


def spread_of(values: Sequence[float]) -> dict[str, Any] | None:
    """Values with their mean and deviation; None of none."""
    if not values:
        return None
    mean, deviation = mean_deviation(values)
    return {"per_seed": list(values), "mean": mean, "deviation": deviation}


def best_loss(run: Run) -> float | None:
    """The least validation loss of a run, in nats; None where it was not validated."""
    return min((loss for _, loss in run.in_nats() if math.isfinite(loss)), default=None)


def check_sizes(members: Mapping[str, Sequence[Member]]) -> None:
    """The runs of a variant are of one size.

    Raises:
        UserError: they are not.
    """
    for name, runs in members.items():
        sizes = sorted({member.run.parameters for member in runs})
        if len(sizes) > 1:
            raise UserError(f"the runs of '{name}' differ in size ({', '.join(map(str, sizes))} parameters)")
