"""Whether one translation is better than another: a statement on two texts, and none on the models that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.significance import PairedTest

from .translations import Translation, metrics_of
from .verdict import p_value, signed


@dataclass
class Significance:
    """A run against the baseline's run of the same seed."""

    seed: int
    difference: float
    p_value: float


def paired_bootstrap(
    baseline: Sequence[Translation], others: dict[str, list[Translation]], samples: int = 1000
) -> tuple[dict[str, dict[str, list[Significance]]], dict[str, str]]:
    """sacreBLEU's paired bootstrap of every run against the baseline's run of the same seed.

    Returns ``{name: {metric: [one Significance a common seed]}}`` and the signatures of the test.
    """
    found: dict[str, dict[str, list[Significance]]] = {name: {} for name in others}
    signatures: dict[str, str] = {}
    for base in baseline:
        rivals = [run for members in others.values() for run in members if run.seed == base.seed]
        if not rivals:
            continue
        systems: list[tuple[str, Sequence[str]]] = [(run.name, run.hypotheses) for run in (base, *rivals)]
        test = PairedTest(systems, metrics_of(base), references=None, test_type="bs", n_samples=samples)
        signature, results = test()
        signatures = {metric: str(value) for metric, value in signature.items()}
        for metric in signatures:
            baseline_result, *rest = results[metric]
            for run, result in zip(rivals, rest):
                difference = result.score - baseline_result.score  # type: ignore[union-attr]
                # sacreBLEU counts resamples beyond the real difference: of equal systems none is, and p would be least.
                same = run.hypotheses == base.hypotheses
                p_value = 1.0 if same else float(result.p_value)  # type: ignore[union-attr,arg-type]
                found[run.name].setdefault(metric, []).append(Significance(base.seed, difference, p_value))
    return found, signatures


def as_notes(
    baseline: str, found: Mapping[str, Mapping[str, Sequence[Significance]]], signatures: Mapping[str, str]
) -> list[str]:
    """What :func:`paired_bootstrap` found, in a sentence a variant; nothing where no seeds are common."""
    notes = []
    for name, metrics in found.items():
        tests = [
            f"{metric} {signed(test.difference, 2)} ({p_value(test.p_value)}) with seed {test.seed}"
            for metric, of_seeds in metrics.items()
            for test in of_seeds
        ]
        if tests:
            notes.append(
                f"{name} against {baseline} by paired bootstrap, a pair of translations at a time: {', '.join(tests)}. "
                "Such a p is about these two runs alone: it does not know what other seeds would give."
            )
    if notes:
        notes.append(f"Paired bootstrap: {next(iter(signatures.values()))}")
    return notes


def as_data(found: Mapping[str, Mapping[str, Sequence[Significance]]], signatures: Mapping[str, str]) -> dict[str, Any]:
    """The same for programs."""
    variants = {
        name: {metric: [asdict(test) for test in of_seeds] for metric, of_seeds in metrics.items()}
        for name, metrics in found.items()
    }
    return {"signatures": dict(signatures), "variants": variants}
