"""What every measured system does: one batch after the other, timed or under torch's profiler."""

from __future__ import annotations

import time
from typing import Any

import torch

from .profiling import profile
from .worker import Memory


class Stepping:
    """Batches that are taken in turn, one a step.

    Args:
        threads: of the CPU.
        device: ``cpu`` or ``cuda``.
        memory: of this process.
    """

    def __init__(self, threads: int, device: str, memory: Memory) -> None:
        torch.set_num_threads(threads)
        self.device, self.process_memory = device, memory
        self.batches: list[dict[str, Any]] = []
        self.taken = 0

    def run(self, batch: dict[str, Any]) -> dict[str, float]:
        """The work of a step, and counts of what it was of."""
        raise NotImplementedError

    def step(self) -> dict[str, float]:
        """Run the next batch: seconds, and the counts of :meth:`run`."""
        batch = self._next_batch()
        self.synchronise()
        start = time.perf_counter()
        counts = self.run(batch)
        self.synchronise()
        return {"seconds": time.perf_counter() - start, **counts}

    def profile(self) -> dict[str, Any]:
        """Run the next batch under :func:`.profiling.profile`."""
        batch = self._next_batch()
        return profile(lambda: self.run(batch), self.device, self.synchronise)

    def synchronise(self) -> None:
        """Wait for what the device still has to do."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _next_batch(self) -> dict[str, Any]:
        batch = self.batches[self.taken % len(self.batches)]
        self.taken += 1
        return batch
