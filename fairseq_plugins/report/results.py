"""What a comparison found, as plain data: ``results.json``, from which tables and pages are made."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
        units: metric -> the run by units of the test set; a run may lack a metric that others have.
        length_ratio: hypothesis length over reference length, of translations.
        command: that made it, if it is not the one of its run.
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
    notes: Sequence[str] = ()
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
    members = {baseline: members[baseline], **members}
    everyone = [member for runs in members.values() for member in runs]
    units: dict[str, Units] = {}
    for member in everyone:
        for name, found in member.units.items():
            units.setdefault(name, found)
    measures = {name: found.measure for name, found in units.items()}
    tests = {}
    for name, measure in measures.items():
        sums = {
            variant: [run.units[name].sums for run in runs if name in run.units] for variant, runs in members.items()
        }
        tests[name] = against_baseline(measure, sums.pop(baseline), sums)
    variants = []
    for variant, runs in members.items():
        compared = {name: vars(tested[variant]) for name, (tested, _) in tests.items() if variant in tested}
        why = next((reasons[variant] for _, reasons in tests.values() if variant in reasons), None)
        variants.append(
            {
                "name": variant,
                "arch": runs[0].run.arch,
                "options": list(about.options.get(variant, ())),
                "parameters": runs[0].run.parameters,
                "operations": about.operations.get(variant),
                "seeds": [member.run.seed for member in runs],
                "scores": {name: scores for name in measures if (scores := scores_of(runs, name)) is not None},
                "against_baseline": compared or None,
                "why_no_test": why,
                "length_ratio": spread_of([m.length_ratio for m in runs if m.length_ratio is not None]),
                "validation": spread_of([best for member in runs if (best := best_loss(member.run)) is not None]),
                "curves": [
                    {"seed": m.run.seed, "points": [[u, loss] for u, loss in m.run.in_nats() if math.isfinite(loss)]}
                    for m in runs
                ],
                "runs": [
                    {"seed": m.run.seed, "folder": m.run.folder, "updates": m.run.updates, "command": command_of(m)}
                    for m in runs
                ],
            }
        )
    results = {
        "format": 1,
        "title": about.title,
        "question": about.question,
        "task": about.task,
        "baseline": baseline,
        "seeds": list(about.seeds) or sorted({member.run.seed for member in everyone}),
        "test_set": {
            "name": about.test_set,
            "units": UNIT_NAMES[about.task],
            "count": len(units[primary].sums),
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
        "notes": list(about.notes),
        "control": dict(about.control),
        "tuning": about.tuning,
        "analysis": None,
        "provenance": {**about.provenance, "signatures": {name: m.signature for name, m in measures.items()}},
    }
    return {**results, "verdict": verdict(results)}


def command_of(member: Member) -> str:
    """What made a run."""
    return member.command or shlex.join(member.run.record.get("command", ()))


def scores_of(runs: Sequence[Member], metric: str) -> dict[str, Any] | None:
    """A metric over the seeds, None for a seed that lacks it; None where all do."""
    scores = [member.units[metric].score if metric in member.units else None for member in runs]
    spread = spread_of([score for score in scores if score is not None])
    return spread and {**spread, "per_seed": scores}


def spread_of(values: Sequence[float]) -> dict[str, Any] | None:
    """Values with their mean and deviation; None of none."""
    if not values:
        return None
    mean, deviation = mean_deviation(values)
    return {"per_seed": list(values), "mean": mean, "deviation": deviation}


def best_loss(run: Run) -> float | None:
    """The least validation loss of a run, in nats; None where it was not validated."""
    return min((loss for _, loss in run.in_nats() if math.isfinite(loss)), default=None)
