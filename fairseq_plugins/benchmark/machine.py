"""The machine that measures: what it is, and what it could do at most."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from pathlib import Path

import torch


def describe(device: str, threads: int) -> str:
    """One line: versions and device."""
    name = f"{torch.cuda.get_device_name()}, " if device == "cuda" else ""
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, fairseq {metadata.version('fairseq')}, "
        f"{name}{processor()}, {threads} thread{'s' * (threads != 1)} (--threads)"
    )


def processor() -> str:
    """The CPU's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "CPU"


def peak_flops(device: str, dtype: torch.dtype = torch.float32, width: int = 2048) -> float:
    """Floating-point operations a second of a large matrix product, the best of several."""
    first, second = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        first @ second
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * width**3 / best
