"""Runs jobs side by side until each is done or has failed, and tells how far the study is."""

from __future__ import annotations

import datetime
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .jobs import Job, Ledger, Running

#: seconds between two looks at what runs, and at what other processes hold
LOOK, LOOK_AT_OTHERS = 0.1, 2.0
#: seconds between two lines: rewritten on a terminal, one below the other in a log
ON_TERMINAL, IN_LOG = 1.0, 60.0


class Stopped(Exception):
    """A signal ended the study; everything is saved."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


class Engine:
    """Slots, in each of which one job runs at a time.

    Args:
        ledger: of the records.
        environments: one for each slot.
        say: what prints a line.
    """

    def __init__(self, ledger: Ledger, environments: Sequence[Mapping[str, str]], say: Callable[[str], None]) -> None:
        self.ledger, self.environments, self.say = ledger, list(environments), say
        self.running: dict[int, Running] = {}
        self.stopped_by = 0
        self.begun = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()
        #: jobs of later phases, for the estimate alone
        self.later: list[Job] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all jobs; other processes may do some of them.

        Raises:
            Stopped: by a signal; what ran has saved what it had.
            UserError: a record is of other commands.
        """
        left = [job for job in jobs if not self.ledger.record(job)]
        total = len(jobs)
        ready = 0.0
        with self._signals():
            while left or self.running:
                for slot, running in list(self.running.items()):
                    if running.poll():
                        del self.running[slot]
                        self._told(running.job)
                        ready = 0.0
                if self.stopped_by:
                    left = []
                elif len(self.running) < len(self.environments) and time.monotonic() >= ready:
                    left = [job for job in left if not self._finished(job)]
                    if not self._begin(left):
                        ready = time.monotonic() + LOOK_AT_OTHERS
                self._show(left, total)
                time.sleep(LOOK)
        self._clear()
        if self.stopped_by:
            raise Stopped(self.stopped_by)

    def failures(self, jobs: Sequence[Job]) -> dict[Job, dict[str, Any]]:
        """Those of the jobs that failed, with what is known of it."""
        found = {job: self.ledger.failure(job) for job in jobs}
        return {job: failure for job, failure in found.items() if failure}

    def _finished(self, job: Job) -> bool:
        if any(running.job is job for running in self.running.values()):
            return False
        return bool(self.ledger.record(job) or self.ledger.failure(job))

    def _begin(self, jobs: Sequence[Job]) -> bool:
        """Start the first job that nobody is at; whether there was one."""
        here = [running.job for running in self.running.values()]
        slot = next(number for number in range(len(self.environments)) if number not in self.running)
        for job in jobs:
            if job in here:
                continue
            running = self.ledger.begin(job, self.environments[slot])
            if running:
                self.running[slot] = running
                if self.stopped_by:  # while it began
                    running.tell(self.stopped_by)
                return True
        return False

    def _told(self, job: Job) -> None:
        failure = self.ledger.failure(job)
        self._clear()
        if failure:
            lines = "".join(f"\n    {line}" for line in failure["last_lines"])
            self.say(
                f"{job.title} failed (status {failure['status']}); all of it: {self.ledger.path(job, 'log')}{lines}"
            )
        elif self.ledger.record(job):
            self.say(f"{job.title} done")

    def _show(self, left: Sequence[Job], total: int) -> None:
        now = time.monotonic()
        if now - self.shown < (ON_TERMINAL if self.terminal else IN_LOG):
            return
        self.shown = now
        done = total - len(left)
        at = [f"{running.job.title} {running.fraction():.0%}" for running in self.running.values()]
        text = f"{done} of {total} done; {', '.join(at) or 'others are at the rest'}; {clock(now - self.begun)} so far"
        seconds = self.estimate([*left, *self.later])
        if seconds is not None:
            text += f", about {clock(seconds)} left"
        if self.terminal:
            print(f"\r\x1b[Kstudy: {text}", end="", file=sys.stderr, flush=True)
        else:
            self.say(text)

    def estimate(self, jobs: Sequence[Job]) -> float | None:
        """Seconds that the jobs will take, by what others of their kind took; None as long as nobody knows."""
        known: dict[str, float] = {}
        for kind in {job.kind for job in jobs}:
            seconds = self.ledger.seconds(kind)
            if not seconds:  # the first ones run
                seconds = [
                    (time.monotonic() - running.begun) / running.fraction()
                    for running in self.running.values()
                    if running.fraction() > 0.05 and running.job.kind == kind
                ]
            if seconds:
                known[kind] = statistics.median(seconds)
        if not known:
            return None
        usual = statistics.median(known.values())
        done = {running.job: running.fraction() for running in self.running.values()}
        return sum(known.get(job.kind, usual) * (1 - done.get(job, 0.0)) for job in jobs) / len(self.environments)

    def _clear(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM are passed on: trainings save and end, and so does this."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, _frame: FrameType | None) -> None:
            self.stopped_by = number
            for running in self.running.values():
                running.tell(number)

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def clock(seconds: float) -> str:
    """``0:01:30`` for 90 seconds."""
    return str(datetime.timedelta(seconds=int(seconds)))
