"""Whether one system translates better than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.significance import PairedTest

from .translations import Translation, metrics_of


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
