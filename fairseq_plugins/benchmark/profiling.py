"""Where the time of a step goes, by torch's profiler."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

#: what no operator of torch takes: Python, autograd's bookkeeping, numpy, waiting
BETWEEN = "between operators"
OTHERS = "other operators"
IN_ALL = "in all"


def profile(step: Callable[[], Any], device: str, synchronise: Callable[[], None]) -> dict[str, Any]:
    """Seconds of a step under the profiler, and of each operator in it without the operators that it calls.

    On a GPU an operator's seconds are those of its kernels.

    Returns:
        ``seconds``, and ``operators``: name -> seconds.
    """
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    gpu = device == "cuda"
    synchronise()
    with profiler(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as recorded:
        start = time.perf_counter()
        step()
        synchronise()
        seconds = time.perf_counter() - start
    operators: dict[str, float] = {}
    for event in recorded.key_averages():
        if is_operator(event.key):
            taken = event.self_device_time_total if gpu else event.self_cpu_time_total
            operators[event.key] = operators.get(event.key, 0.0) + taken / 1e6
    return {"seconds": seconds, "operators": operators}


def is_operator(name: str) -> bool:
    """``aten::mm``, but neither a node of autograd, nor a range that fairseq names, nor a kernel of a GPU."""
    namespace, colons, rest = name.partition("::")
    return bool(colons) and namespace.isidentifier() and rest.isidentifier() and namespace != "autograd"


def breakdown(profiles: Mapping[str, Mapping[str, Any]], number: int) -> list[tuple[str, dict[str, float]]]:
    """Lines of a table: what, and system -> seconds.

    Args:
        profiles: system -> the result of :func:`profile`.
        number: of operators that have a line, those on which any system spends most.
    """
    longest: dict[str, float] = {}
    for profiled in profiles.values():
        for name, seconds in profiled["operators"].items():
            longest[name] = max(longest.get(name, 0.0), seconds)
    shown = sorted(longest, key=longest.__getitem__, reverse=True)[:number]
    lines = [(name, {system: of["operators"].get(name, 0.0) for system, of in profiles.items()}) for name in shown]
    in_operators = {system: sum(of["operators"].values()) for system, of in profiles.items()}
    in_shown = {system: sum(taken[system] for _, taken in lines) for system in profiles}
    return [
        *lines,
        (OTHERS, {system: in_operators[system] - in_shown[system] for system in profiles}),
        (BETWEEN, {system: of["seconds"] - in_operators[system] for system, of in profiles.items()}),
        (IN_ALL, {system: of["seconds"] for system, of in profiles.items()}),
    ]
