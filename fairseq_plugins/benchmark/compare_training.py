"""Training steps of several systems, side by side."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from typing import Any

from .processes import Comparison, GateError, Say, label, same_results, started, steps_in_turn, variant
from .sizes import HUGGINGFACE, SIZES, training_options

#: relative difference of loss and gradients up to which two systems compute the same in float32, and in bfloat16
TOLERANCE, BF16_TOLERANCE = 1e-4, 3e-2
#: gradients below this share of the largest one may differ by as much as one of that size
SMALL, BF16_SMALL = 1e-3, 1e-1
#: of NAME+authors: attention as the code of the neural QKV paper computed it
AUTHORS = "authors"


@dataclass
class Result:
    """What was measured of one system: medians over its updates, peak bytes, operations of matrix products.

    Attributes:
        profile: of :func:`.profiling.profile`, where it was asked for.
    """

    size: str
    system: str
    parameters: int
    seconds: float
    tokens_per_second: float
    memory: float
    flops_per_token: float
    profile: dict[str, Any] | None = None


def measure(size_name: str, comparison: Comparison, batches: int, say: Say = None) -> list[Result]:
    """Measure systems in turn, round by round, so that a noisy machine disturbs all alike.

    Args:
        size_name: one of :data:`.sizes.SIZES`.
        comparison: of ``fairseq-train``.
        batches: different batches.

    Raises:
        GateError: a ``baseline`` does not have stock fairseq's loss and gradients, or a system fails.
    """
    size = SIZES[size_name]
    with tempfile.TemporaryDirectory() as data, started(comparison) as running:
        gates = {}
        for system in running:
            system.ask(
                "build",
                kind="huggingface-training" if variant(system.name) == HUGGINGFACE else "training",
                words=[*training_options(size, variant(system.name)), *system.words],
                data=data,
                vocabulary=size.vocabulary,
                length=size.length,
                batches=batches,
                authors=label(system.name) == AUTHORS,
                threads=comparison.threads,
                device=comparison.device,
            )
            gates[system.name] = system.ask("gate")
        compare_gates(gates)
        for system in running:
            system.ask("step")
        found = steps_in_turn(running, comparison.rounds * batches, "updates", say)
        results = []
        for system in running:
            steps, memory, counted = found[system.name], system.ask("memory"), system.ask("flops")
            results.append(
                Result(
                    size=size_name,
                    system=system.name,
                    parameters=int(gates[system.name]["parameters"]),
                    seconds=statistics.median(step["seconds"] for step in steps),
                    tokens_per_second=statistics.median(step["tokens"] / step["seconds"] for step in steps),
                    memory=memory["bytes"],
                    flops_per_token=counted["flops"] / counted["tokens"],
                    profile=system.ask("profile") if comparison.profile else None,
                )
            )
        return results


def compare_gates(gates: dict[str, dict[str, Any]]) -> None:
    """Every system of the same variant, and the baseline and stock fairseq, must compute the same.

    Raises:
        GateError: loss or a gradient differs by more than :data:`TOLERANCE`, or :data:`BF16_TOLERANCE` where a system
            takes products in bfloat16.
    """
    reference: dict[str, str] = {}
    for name, gate in gates.items():
        first = reference.setdefault(same_results(name), name)
        problem = difference(gates[first], gate)
        if problem:
            raise GateError(f"{name} does not compute what {first} does: {problem}; no speed is reported")


def difference(first: dict[str, Any], second: dict[str, Any]) -> str | None:
    """What differs between two systems' losses and gradients; None if nothing does."""
    half = first.get("bf16") or second.get("bf16")
    tolerance, small = (BF16_TOLERANCE, BF16_SMALL) if half else (TOLERANCE, SMALL)
    if abs(first["loss"] - second["loss"]) > tolerance * abs(first["loss"]):
        return f"loss {first['loss']:.6f} and {second['loss']:.6f}"
    if first["gradients"].keys() != second["gradients"].keys():
        return f"parameters {sorted(first['gradients'].keys() ^ second['gradients'].keys())[:3]} are in one only"
    scale = max(first["gradients"].values())
    for name, norm in first["gradients"].items():
        other = second["gradients"][name]
        if abs(norm - other) > tolerance * max(norm, small * scale):
            return f"the gradient of {name} has norm {norm:.6g} and {other:.6g}"
    return None
