"""Training steps of several systems, side by side."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from .sizes import SIZES, STOCK, training_options

#: relative difference of loss and gradients up to which two systems compute the same in float32
TOLERANCE = 1e-4


class GateError(Exception):
    """Two systems that should compute the same do not, or one fails: no figure is worth reporting."""


class Worker:
    """A system in its own process; see :mod:`.worker`."""

    def __init__(self, name: str, environment: Dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fairseq_plugins.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, do: str, **request: Any) -> Dict[str, Any]:
        """One request and its answer.

        Raises:
            GateError: the system failed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"do": do, **request}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"its process ended with {self.process.wait()}"}
        if "error" in answer:
            raise GateError(f"{self.name}: {do}: {answer['error']}")
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Result:
    """What was measured of one system: medians over its updates, peak bytes, operations of matrix products."""

    size: str
    system: str
    parameters: int
    seconds: float
    tokens_per_second: float
    memory: float
    flops_per_token: float


def measure(
    size_name: str,
    systems: Dict[str, Sequence[str]],
    rounds: int,
    batches: int,
    threads: int,
    device: str,
    say: Any = None,
) -> List[Result]:
    """Measure systems in turn, round by round, so that a noisy machine disturbs all alike.

    Args:
        size_name: one of :data:`.sizes.SIZES`.
        systems: name (``stock`` or a variant, with anything after a ``+``) -> further words of ``fairseq-train``.
        rounds: timed updates of each batch.
        batches: different batches.

    Raises:
        GateError: a ``baseline`` does not have stock fairseq's loss and gradients, or a system fails.
    """
    size = SIZES[size_name]
    workers = {name: Worker(name, {"OMP_NUM_THREADS": str(threads)}) for name in systems}
    try:
        gates = {}
        for name, words in systems.items():
            workers[name].ask(
                "build",
                words=[*training_options(size, variant(name)), *words],
                vocabulary=size.vocabulary,
                length=size.length,
                batches=batches,
                threads=threads,
                device=device,
            )
            gates[name] = workers[name].ask("gate")
        compare_gates(gates)
        for worker in workers.values():
            worker.ask("step")
        found: Dict[str, List[Dict[str, float]]] = {name: [] for name in systems}
        for turn in range(rounds * batches):
            for name, worker in workers.items():
                found[name].append(worker.ask("step"))
            if say is not None:
                say(f"{turn + 1} of {rounds * batches} updates of each system")
        results = []
        for name, steps in found.items():
            memory, counted = workers[name].ask("memory"), workers[name].ask("flops")
            results.append(
                Result(
                    size=size_name,
                    system=name,
                    parameters=int(gates[name]["parameters"]),
                    seconds=statistics.median(step["seconds"] for step in steps),
                    tokens_per_second=statistics.median(step["tokens"] / step["seconds"] for step in steps),
                    memory=memory["bytes"],
                    flops_per_token=counted["flops"] / counted["tokens"],
                )
            )
        return results
    finally:
        for worker in workers.values():
            worker.close()


def variant(name: str) -> str:
    """``pairwise`` of ``pairwise+bf16``: the same variant may be measured with several options."""
    return name.split("+")[0]


def compare_gates(gates: Dict[str, Dict[str, Any]]) -> None:
    """Every system of the same variant, and the baseline and stock fairseq, must compute the same.

    Raises:
        GateError: loss or a gradient differs by more than :data:`TOLERANCE`.
    """
    reference: Dict[str, str] = {}
    for name, gate in gates.items():
        kind = STOCK if variant(name) == "baseline" else variant(name)
        first = reference.setdefault(kind, name)
        problem = difference(gates[first], gate)
        if problem:
            raise GateError(f"{name} does not compute what {first} does: {problem}; no speed is reported")


def difference(first: Dict[str, Any], second: Dict[str, Any]) -> Optional[str]:
    """What differs between two systems' losses and gradients; None if nothing does."""
    if abs(first["loss"] - second["loss"]) > TOLERANCE * abs(first["loss"]):
        return f"loss {first['loss']:.6f} and {second['loss']:.6f}"
    if first["gradients"].keys() != second["gradients"].keys():
        return f"parameters {sorted(first['gradients'].keys() ^ second['gradients'].keys())[:3]} are in one only"
    scale = max(first["gradients"].values())
    for name, norm in first["gradients"].items():
        other = second["gradients"][name]
        if abs(norm - other) > TOLERANCE * max(norm, 1e-3 * scale):
            return f"the gradient of {name} has norm {norm:.6g} and {other:.6g}"
    return None
