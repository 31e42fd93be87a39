"""The processes and the thread that load data for a training."""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import queue
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from .registry import ModuleView, mark, marked, repair, see

#: seconds that the end of a process waits for a thread which itself waits for data
PATIENCE = 10

_loading: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
_ending = threading.Event()


@repair("none known")
def epoch_in_workers() -> bool:
    """With ``--num-workers`` of at least 1 every epoch after the first repeats the first one's random masks.

    The worker processes live on with the dataset of the epoch that they were started in, so a masked language model
    loses its dynamic masking, and a resumed training sees other masks than one that was never stopped. Workers are
    started anew each epoch.
    """
    from fairseq.data.iterators import EpochBatchIterator

    original = getattr(EpochBatchIterator, "_get_iterator_for_epoch", None)
    if original is None or "reuse_dataloader" not in inspect.signature(EpochBatchIterator.__init__).parameters:
        return False
    if marked(original):
        return True

    def iterator_for_epoch(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.num_workers > 0:
            self.dataloader = None
        return original(self, *args, **kwargs)

    EpochBatchIterator._get_iterator_for_epoch = mark(iterator_for_epoch, original)
    return True


@repair("none known")
def worker_signals() -> bool:
    """Slurm sends SIGTERM to all processes; a data-loading worker dies of it and takes the training with it.

    Workers leave the signal to the process that trains. It ends them as ever, by a signal that they do not ignore.
    """
    from fairseq.data import iterators

    data = ModuleView(torch.utils.data, DataLoader=DataLoader)
    see(iterators, "torch", utils=ModuleView(torch.utils, data=data))
    return True


class DataLoader(torch.utils.data.DataLoader):
    """torch's, whose workers ignore SIGTERM unless their parent means them; same arguments and items."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker_init_fn = functools.partial(_leave_sigterm_to_parent, self.worker_init_fn)

    def __iter__(self) -> Any:
        with _sigterm_waits():
            iterator = super().__iter__()
        for worker in getattr(iterator, "_workers", ()):
            # Both torch, which lets go of a worker that does not end by itself, and multiprocessing at the end of the
            # process call this one. Weak, as nothing else would free an iterator that nobody needs.
            started = worker._popen
            started.terminate = functools.partial(_end, weakref.ref(iterator), weakref.ref(started))
        return iterator


@contextlib.contextmanager
def _sigterm_waits() -> Iterator[None]:
    """Hold the signal back here and in processes that are started here, which ignore it as soon as they can."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_sigterm_to_parent(then: Callable[[int], None] | None, worker: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if then is not None:
        then(worker)


def _end(iterator: Any, worker: Any) -> None:
    """Kill a worker (both arguments are weak references), which torch's watch over workers shall not take for a crash.

    A worker that ends of its parent's SIGTERM, as torch's own do, reports success.
    """
    watched = iterator()
    if watched is not None and watched._worker_pids_set:
        torch.utils.data._utils.signal_handling._remove_worker_pids(id(watched))
        watched._worker_pids_set = False
    worker().kill()


@repair("none known")
def buffer_thread() -> bool:
    """A training that is done may still abort: "terminate called without an active exception", exit status 134.

    The thread that prepares batches ahead is ended wherever it is, and torch's code does not bear that. At the end of
    a process it is told to end, and waited for.
    """
    from fairseq.data.iterators import BackgroundConsumer

    original = BackgroundConsumer.__init__
    if marked(original):
        return True

    def init(self: Any, queue: Any, source: Any, *args: Any, **kwargs: Any) -> None:
        original(self, queue, _until_the_end(source), *args, **kwargs)
        _loading.add(self)

    BackgroundConsumer.__init__ = mark(init, original)
    atexit.register(end_loading)
    return True


def _until_the_end(source: Iterable) -> Iterator:
    for item in source:
        if _ending.is_set():
            return
        yield item


def end_loading() -> None:
    """Wait for the threads that prepare batches, which prepare no more; one that gets no data is left after a while."""
    _ending.set()
    deadline = time.monotonic() + PATIENCE
    for thread in list(_loading):
        while thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):  # it may wait for room
                thread._queue.get_nowait()  # type: ignore[attr-defined]
            thread.join(0.01)
