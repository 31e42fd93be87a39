"""Where engines work: in this process, or in several others."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.runtime.parent import die_with_parent

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
        # not forked, as this process has threads; pickled twice, as fairseq must be hushed before it is imported
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(count, context, _start, (pickle.dumps((kind, settings)),))
        try:
            self.limit: int = self._submit(_limit)()
        except BaseException:
            self.close(at_once=True)
            raise

    def submit(self, lines: list[str], seed: int) -> Later:
        """Have a batch answered."""
        return self._submit(_answer, lines, seed)

    def close(self, at_once: bool = False) -> None:
        """End the processes; ``at_once``: whatever they do."""
        for process in multiprocessing.active_children() if at_once else []:
            process.kill()
        self.executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, function: Callable, *arguments: Any) -> Callable[[], Any]:
        # this may start a process, which inherits that Ctrl-C is the first one's
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _killed_ones_named():
                future = self.executor.submit(function, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

        def result() -> Any:
            with _killed_ones_named():
                return future.result()

        return result


@contextlib.contextmanager
def _killed_ones_named() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise UserError(
            "one of the processes was killed, for want of memory perhaps; its last words, if it had any, are above: "
            "use fewer processes, or a smaller --max-tokens"
        ) from None


def _start(pickled: bytes) -> None:
    global _engine
    quiet()
    # tqdm makes a lock, which would be left behind by a process that is killed unless it is one for forks
    multiprocessing.set_start_method("fork", force=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    die_with_parent(signal.SIGKILL)
    number = int(multiprocessing.current_process().name.rsplit("-", 1)[1]) - 1  # they count from 1
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
