"""The processes that load data for a training."""

from __future__ import annotations

import inspect
import multiprocessing
import multiprocessing.util
import signal
from typing import Any

import torch

from .registry import ModuleView, mark, marked, repair


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

    Workers leave the signal to the process that trains, which ends them when it ends.
    """
    from fairseq.data import iterators

    if isinstance(iterators.torch, ModuleView):
        return True

    class DataLoader(torch.utils.data.DataLoader):
        def __init__(self, *args: Any, **kwargs: Any):
            kwargs.setdefault("worker_init_fn", _leave_sigterm_to_parent)
            super().__init__(*args, **kwargs)

    data = ModuleView(torch.utils.data, DataLoader=DataLoader)
    iterators.torch = ModuleView(torch, utils=ModuleView(torch.utils, data=data))  # type: ignore[attr-defined]
    # Before multiprocessing's own end, which sends them SIGTERM and waits.
    multiprocessing.util.Finalize(None, _kill_workers, exitpriority=10)
    return True


def _leave_sigterm_to_parent(_worker: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _kill_workers() -> None:
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
