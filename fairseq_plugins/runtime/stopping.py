"""A training that ends in good order when it is told to stop, and that shows that it is alive.

Stock fairseq dies of SIGTERM, which Slurm and most clusters send before they take a machine away, and loses what it
did since its last checkpoint. With this, every process goes on to the end of an update that all of them agree on,
the checkpoint is saved, and the exit status is 128 + 15. Two ways to ask: SIGTERM, or the file that the environment
variable :data:`STOP_FILE` names (a launcher may not know where the other processes are).

:data:`HEARTBEAT` names a file that is touched at each update and each validation step, for a launcher that looks for
hung trainings; SIGUSR1 then prints the stack of every thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils

#: environment variables: a file that asks for the end, and one that is touched while all is well
STOP_FILE = "FAIRSEQ_PLUGINS_STOP_FILE"
HEARTBEAT = "FAIRSEQ_PLUGINS_HEARTBEAT"

#: the exit status of a training that was told to stop: what a shell says of a process that SIGTERM ended
STATUS = 128 + signal.SIGTERM

logger = logging.getLogger(__name__)
_asked = threading.Event()
_beat_at = float("-inf")
_held = threading.local()
#: what SIGTERM did before this process listened; nothing while it does not listen
_before: list[Any] = []


def listen() -> None:
    """Take SIGTERM as a wish to stop, from now on."""
    if not _before and threading.current_thread() is threading.main_thread():
        _before.append(signal.signal(signal.SIGTERM, lambda *_: _asked.set()))
    if os.environ.get(HEARTBEAT):
        faulthandler.register(signal.SIGUSR1, all_threads=True)


def stop_listening() -> None:
    """SIGTERM does again what it did before, and no wish is left for the next training of this process."""
    _asked.clear()
    if _before:
        signal.signal(signal.SIGTERM, _before.pop() or signal.SIG_DFL)


def _hold() -> None:
    if _before:
        _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_go() -> None:
    mask = vars(_held).pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start_as_child() -> None:
    stop_listening()
    _let_go()


# A pool of processes ends its workers by SIGTERM, and waits for ever for those that only take note of it; none comes
# before a child has forgotten how its parent takes it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_start_as_child)


def asked() -> bool:
    """Whether this process was told to stop."""
    path = os.environ.get(STOP_FILE)
    return _asked.is_set() or bool(path and os.path.exists(path))


def beat() -> None:
    """Touch the heartbeat file, at most once a second."""
    global _beat_at
    path = os.environ.get(HEARTBEAT)
    if path and time.monotonic() - _beat_at >= 1:
        with contextlib.suppress(OSError), open(path, "a"):  # a sign of life is not worth the training's
            os.utime(path)
        _beat_at = time.monotonic()


def agreed(trainer: Any) -> bool:
    """Whether any process was told to stop; the same answer in all of them, each of which must ask."""
    if trainer.data_parallel_world_size == 1:
        return asked()
    wishes = torch.tensor([float(asked())], device=trainer.device)
    distributed_utils.all_reduce(wishes, group=distributed_utils.get_global_group())
    return bool(wishes.item())


def listening_main(stock: Callable) -> Callable:
    """fairseq's ``main``, after which the process listens no more."""

    def main(*args: Any, **kwargs: Any) -> Any:
        try:
            return stock(*args, **kwargs)
        finally:
            stop_listening()

    return main


def stoppable_train(stock: Callable) -> Callable:
    """fairseq's ``train`` of one epoch, which listens, and whose validation steps show that they are alive."""

    def train(cfg: Any, trainer: Any, *args: Any, **kwargs: Any) -> Any:
        listen()
        if "valid_step" not in vars(trainer):
            trainer.valid_step = _beating(trainer.valid_step)
        return stock(cfg, trainer, *args, **kwargs)

    return train


def _beating(step: Callable) -> Callable:
    def beating_step(*args: Any, **kwargs: Any) -> Any:
        beat()
        return step(*args, **kwargs)

    return beating_step


def stoppable_validate_and_save(stock: Callable) -> Callable:
    """fairseq's ``validate_and_save``, which comes after each update, and ends the training if that was asked for."""

    def validate_and_save(
        cfg: Any, trainer: Any, task: Any, epoch_itr: Any, valid_subsets: Any, end_of_epoch: bool
    ) -> Any:
        beat()
        if not agreed(trainer):
            return stock(cfg, trainer, task, epoch_itr, valid_subsets, end_of_epoch)
        # a validation that is due now belongs to the run's curve, and may steer the learning rate of the next epoch
        found = stock(cfg, trainer, task, epoch_itr, valid_subsets, end_of_epoch)
        if found[1]:  # the training is over
            return found
        if not saves(cfg, trainer.get_num_updates(), epoch_itr.epoch if end_of_epoch else None):
            checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
        if trainer.data_parallel_world_size > 1:  # the others wait for the process that writes
            agreed(trainer)
        logger.info("stopped as asked after %d updates, checkpoint saved", trainer.get_num_updates())
        raise SystemExit(STATUS)

    return validate_and_save


def saves(cfg: Any, updates: int, ended_epoch: int | None) -> bool:
    """Whether fairseq saves a checkpoint after an update that is not its last."""
    interval = cfg.checkpoint.save_interval_updates
    at_update = interval > 0 and updates % interval == 0 and updates >= cfg.dataset.validate_after_updates
    return at_update or (ended_epoch is not None and ended_epoch % cfg.checkpoint.save_interval == 0)


#: functions of ``fairseq_cli.train`` and what makes them stoppable
WRAPPERS = {"main": listening_main, "train": stoppable_train, "validate_and_save": stoppable_validate_and_save}
