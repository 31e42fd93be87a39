"""Jobs that are done once, whoever does them: one process after another, several side by side, or many machines.

A job is a list of commands. Its record, ``NAME.json``, is written when the last of them has ended well; whoever comes
later finds it and does nothing. While it runs, ``NAME.lock`` is held by the process that runs it and by its commands,
so that a killed study leaves no lock; ``NAME.log`` has what they print.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.runtime.durable import write_whole
from fairseq_plugins.runtime.parent import die_with_parent

#: lines of a failed job that are told
LAST_LINES = 12


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be done once.

    Attributes:
        name: of its files; may have slashes.
        title: for people.
        commands: one after another.
        folder: of the training, where progress.json tells how far it is.
        updates: of the training.
        kind: jobs of one kind take about as long; estimates go by it.
    """

    name: str
    title: str
    commands: Sequence[Sequence[str]]
    folder: Path | None = None
    updates: int = 0
    kind: str = ""
    place: str = ""


@dataclass
class Ledger:
    """The folder of all records.

    Attributes:
        since: failures before that time are forgotten.
    """

    folder: Path
    since: float = field(default_factory=time.time)

    def path(self, job: Job, ending: str) -> Path:
        """A file of a job."""
        return self.folder / f"{job.name}.{ending}"

    def record(self, job: Job) -> dict[str, Any] | None:
        """What is written of a finished job.

        Raises:
            UserError: it was done by other commands than it would be now.
        """
        path = self.path(job, "json")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        if comparable(record["commands"]) != comparable(job.commands):
            old, new = (" && ".join(" ".join(words) for words in found) for found in (record["commands"], job.commands))
            raise UserError(
                f"{job.place}: {job.title} was done by another command: it was\n  {old}\nand would be\n  {new}\n"
                f"take another --out, or remove {path}{f' and {job.folder}' if job.folder else ''} to do it anew"
            )
        return record

    def failure(self, job: Job) -> dict[str, Any] | None:
        """What is written of a job that failed since this process began."""
        path = self.path(job, "failed")
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.stat().st_mtime >= self.since else None
        except (FileNotFoundError, ValueError):
            return None

    def seconds(self, kind: str) -> list[float]:
        """What finished jobs of a kind took."""
        found = []
        for path in sorted(self.folder.rglob("*.json")):
            with contextlib.suppress(ValueError, KeyError, OSError):
                record = json.loads(path.read_text(encoding="utf-8"))
                if record["kind"] == kind:
                    found.append(float(record["seconds"]))
        return found

    def begin(self, job: Job, environment: Mapping[str, str]) -> Running | None:
        """Start a job, unless another process is at it, or it is done or has failed."""
        lock = self.path(job, "lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = open(lock, "w")  # noqa: SIM115  closed with the job
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            return None
        if self.record(job) or self.failure(job):
            handle.close()
            return None
        self.path(job, "failed").unlink(missing_ok=True)
        return Running(self, job, handle, environment)


def comparable(commands: Sequence[Sequence[str]]) -> list[list[str]]:
    """Commands without what may differ from one start to the next: on what they run."""
    kept = []
    for words in commands:
        free = {index for index, word in enumerate(words) if word in ("--cpu", "--gpus")}
        free |= {index + 1 for index in free if words[index] == "--gpus"}
        kept.append([word for index, word in enumerate(words) if index not in free])
    return kept


class Running:
    """A job that runs: its commands one after another, each in a session of its own."""

    def __init__(self, ledger: Ledger, job: Job, lock: IO[str], environment: Mapping[str, str]) -> None:
        self.ledger, self.job, self.lock, self.environment = ledger, job, lock, environment
        self.log = open(ledger.path(job, "log"), "ab", buffering=0)  # noqa: SIM115  closed with the job
        self.begun = time.monotonic()
        self.next = 0
        self.told = False
        self.process: subprocess.Popen[bytes] | None = None
        self._start()

    def poll(self) -> bool:
        """Whether it has ended; begins its next command where one has ended well."""
        assert self.process is not None
        status = self.process.poll()
        if status is None:
            return False
        if status == 0 and self.next < len(self.job.commands) and not self.told:
            self._start()
            return False
        self._end(status if self.next == len(self.job.commands) else status or 1)
        return True

    def tell(self, number: int) -> None:
        """Pass a signal on: what then ends has not failed."""
        assert self.process is not None
        self.told = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def fraction(self) -> float:
        """How much of its updates is done."""
        if not self.job.folder or not self.job.updates:
            return 0.0
        with contextlib.suppress(OSError, ValueError):
            progress = json.loads((self.job.folder / "progress.json").read_text(encoding="utf-8"))
            return min(1.0, progress.get("updates", 0) / self.job.updates)
        return 0.0

    def _start(self) -> None:
        words = self.job.commands[self.next]
        self.next += 1
        self.log.write(f"=== {' '.join(words)}\n".encode())
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**self.environment, "FAIRSEQ_PLUGINS_STOP_WITH_PARENT": "1"},
            start_new_session=True,
            preexec_fn=die_with_parent,
            pass_fds=[self.lock.fileno()],
        )

    def _end(self, status: int) -> None:
        self.log.close()
        commands = [list(words) for words in self.job.commands]
        if status == 0:
            seconds = round(time.monotonic() - self.begun, 1)
            record = {"kind": self.job.kind, "title": self.job.title, "commands": commands, "seconds": seconds}
            write_whole(self.ledger.path(self.job, "json"), f"{json.dumps(record, indent=2)}\n".encode())
        elif not self.told:
            lines = last_lines(self.ledger.path(self.job, "log"))
            failure = {"title": self.job.title, "status": status, "commands": commands, "last_lines": lines}
            write_whole(self.ledger.path(self.job, "failed"), f"{json.dumps(failure, indent=2)}\n".encode())
        self.lock.close()


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """The end of a log: what its last command said."""
    text = path.read_text(encoding="utf-8", errors="replace").rpartition("\n=== ")[2]
    return [line for line in text.splitlines()[1:] if line.strip()][-count:]
