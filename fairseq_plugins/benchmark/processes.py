"""The systems of a benchmark, each in a process of its own, asked in turn."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairseq_plugins.errors import UserError

from .sizes import HUGGINGFACE, STOCK

Say = Callable[[str], None] | None
Answer = dict[str, Any]


class GateError(UserError):
    """Two systems that should compute the same do not, or one fails: no figure is worth reporting."""


@dataclass
class Comparison:
    """Which systems are measured in turn, and how.

    Attributes:
        systems: name (``stock`` or a variant, with anything after a ``+``) -> further words of fairseq's command.
        environments: name -> variables of its process, where it has any.
        rounds: timed steps of each batch.
        threads: of the CPU.
        device: ``cpu`` or ``cuda``.
        profile: one more step of each goes under torch's profiler.
    """

    systems: Mapping[str, Sequence[str]]
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rounds: int = 1
    threads: int = 1
    device: str = "cpu"
    profile: bool = False


class System:
    """A system in its own process; see :mod:`.worker`.

    Args:
        name: ``stock`` or a variant, with anything after a ``+``.
        words: further options of fairseq's command, of this system alone.
        environment: variables of its process.
    """

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name, self.words = name, list(words)
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed in close
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fairseq_plugins.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, do: str, **request: Any) -> Answer:
        """One request and its answer.

        Raises:
            GateError: the system failed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and the missing answer tells how
            print(json.dumps({"do": do, **request}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"its process ended with {self.process.wait()}"}
        if "error" in answer:
            raise GateError(f"{self.name}: {do}: {answer['error']}{self._last_words()}")
        return answer

    def _last_words(self) -> str:
        """What its process said last on stderr, if it said anything before it ended."""
        if self.process.poll() is None:
            return ""
        self.said.seek(0)
        lines = [line.strip() for line in self.said if line.strip()]
        return f": {lines[-1]}" if lines else ""

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.said.close()


@contextlib.contextmanager
def started(comparison: Comparison) -> Iterator[list[System]]:
    """Processes of all systems, which end with the context."""
    running: list[System] = []
    threads = {"OMP_NUM_THREADS": str(comparison.threads)}
    try:
        for name, words in comparison.systems.items():
            running.append(System(name, words, {**threads, **comparison.environments.get(name, {})}))
        yield running
    finally:
        for system in running:
            system.close()


def steps_in_turn(systems: Iterable[System], rounds: int, of: str, say: Say = None) -> dict[str, list[Answer]]:
    """``rounds`` steps of every system, A B A B, so that a noisy machine disturbs all alike."""
    systems = list(systems)
    found: dict[str, list[Answer]] = {system.name: [] for system in systems}
    for turn in range(rounds):
        for system in systems:
            found[system.name].append(system.ask("step"))
        if say is not None:
            say(f"{turn + 1} of {rounds} {of} of each system")
    return found


def variant(name: str) -> str:
    """``pairwise`` of ``pairwise+bf16``: the same variant may be measured with several options."""
    return name.split("+")[0]


def label(name: str) -> str:
    """``bf16`` of ``pairwise+bf16``; empty where there is none."""
    return name.partition("+")[2]


def same_results(name: str) -> str:
    """What all systems that must compute the same have in common: the variant, or stock, which others are, too."""
    return STOCK if variant(name) in ("baseline", HUGGINGFACE) else variant(name)
