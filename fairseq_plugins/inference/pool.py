"""Where engines work: in this process, or in several others."""

from __future__ import annotations

import ctypes
import multiprocessing
import pickle
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from fairseq_plugins.errors import UserError

from .arguments import quiet

if TYPE_CHECKING:
    from .engine import Engine, Hypothesis, Settings

    Answers = list[list[Hypothesis]]
    #: gives the answers to what was submitted, when they are there
    Later = Callable[[], Answers]

_engine: Engine | UserError


class Here:
    """An engine in this process, which works when its answers are asked for."""

    processes = 1

    def __init__(self, kind: type[Engine], settings: Settings) -> None:
        self.engine = kind(settings)
        self.limit = self.engine.limit

    def submit(self, lines: list[str], seed: int) -> Later:
        """Have a batch answered."""
        return lambda: self.engine.answer(lines, seed)

    def close(self, at_once: bool = False) -> None:
        """Nothing is left to end."""


class Processes:
    """An engine in each of several processes; a batch goes to the first that is free.

    Args:
        kind, settings: of the engines.
        count: of processes; with GPUs each has the one of its number.
    """

    def __init__(self, kind: type[Engine], settings: Settings, count: int) -> None:
        self.processes = count
        # not forked: this process has threads
        context = multiprocessing.get_context("spawn")
        place = context.Value("i", 0)
        # what is pickled twice is made there after everything that fairseq says when it is imported is hushed
        self.executor = ProcessPoolExecutor(count, context, _start, (pickle.dumps((kind, settings)), place))
        try:
            self.limit: int = self._result(self.executor.submit(_limit))()
        except BaseException:
            self.close(at_once=True)
            raise

    def submit(self, lines: list[str], seed: int) -> Later:
        """Have a batch answered."""
        return self._result(self.executor.submit(_answer, lines, seed))

    def close(self, at_once: bool = False) -> None:
        """End the processes; ``at_once``: whatever they do."""
        for process in multiprocessing.active_children() if at_once else []:
            process.kill()
        self.executor.shutdown(wait=True, cancel_futures=True)

    def _result(self, future: Any) -> Callable[[], Any]:
        def result() -> Any:
            try:
                return future.result()
            except BrokenProcessPool:
                raise UserError(
                    "one of the processes was killed, for want of memory perhaps; its last words, if it had any, are "
                    "above: use fewer processes, or a smaller --max-tokens"
                ) from None

        return result


def _start(pickled: bytes, place: Any) -> None:
    global _engine
    quiet()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # with the first process
    with place.get_lock():
        number, place.value = place.value, place.value + 1
    kind, settings = pickle.loads(pickled)
    try:
        _engine = kind(settings, number)
    except UserError as error:  # told to whoever asks: of an error here the pool tells nothing
        _engine = error


def _working() -> Engine:
    if isinstance(_engine, UserError):
        raise _engine
    return _engine


def _limit() -> int:
    return _working().limit


def _answer(lines: list[str], seed: int) -> Answers:
    return _working().answer(lines, seed)
