"""One system in a process of its own: it is built once, and does what the benchmark asks line by line.

``python -m fairseq_plugins.benchmark.worker`` reads JSON objects from stdin and answers each with one on stdout:
``{"do": "build", "kind": ..., ...}``, one of :data:`KINDS` with its arguments, then the methods of what was built.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import fairseq_plugins.models  # noqa: F401  stock fairseq, too, runs with the repairs that it needs

#: kind of system -> the module and the class that it is
KINDS = {
    "training": ("trainer", "Training"),
    "fairseq": ("decoding", "FairseqDecoding"),
    "ctranslate2": ("decoding", "CTranslate2Decoding"),
    "huggingface": ("huggingface", "HuggingFaceDecoding"),
    "joeynmt": ("joeynmt", "JoeyNMTDecoding"),
    "huggingface-training": ("huggingface", "HuggingFaceTraining"),
}


class Memory:
    """Peak memory of what a process does, beyond what it held before it had a model.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    #: resident bytes of the process before it had a model
    without = 0

    def __init__(self, device: str) -> None:
        self.device = device

    def forget_peak(self) -> None:
        """The peak begins anew."""
        if self.device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> float:
        """Bytes: weights, and whatever the work took since :meth:`forget_peak`."""
        if self.device == "cuda":
            import torch

            return float(torch.cuda.max_memory_allocated())
        return float(resident("VmHWM") - self.without)


def resident(name: str) -> int:
    """A figure of this process's memory (Linux), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def main() -> None:
    """Answer the benchmark until it closes the pipe."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what fairseq prints is not an answer
    system = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        try:
            if do == "build":
                module, name = KINDS[request.pop("kind")]
                made = getattr(import_module(f"fairseq_plugins.benchmark.{module}"), name)
                memory = Memory(request["device"])
                memory.without = resident("VmRSS") if sys.platform.startswith("linux") else 0
                system = made(memory=memory, **request)
                answer: dict[str, Any] = {}
            else:
                answer = getattr(system, do)(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
