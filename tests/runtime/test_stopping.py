"""SIGTERM: a wish to stop for a training, and for nothing that comes after or out of it."""

import os
import signal
import time
from multiprocessing import get_context

import pytest
import tiny_training
from fairseq_cli import train

from fairseq_plugins.compat import apply
from fairseq_plugins.runtime import stopping


@pytest.fixture
def taken():
    """The signals that this process took itself, before and after a training."""
    apply()  # fairseq_cli.train is imported by now
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    yield seen
    stopping.stop_listening()
    signal.signal(signal.SIGTERM, before)


def tell():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_training_leaves_the_signal_as_it_was(corpus, tmp_path, taken):
    tiny_training.train(corpus, tmp_path, tiny_training.KINDS["lm"], updates=1)
    tell()
    assert taken == [signal.SIGTERM]
    assert not stopping.asked()


def test_a_training_that_was_stopped_is_no_wish_for_the_next(corpus, tmp_path, taken, monkeypatch):
    def told(*arguments):
        tell()
        return agreed(*arguments)

    agreed = stopping.agreed
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "agreed", told)
        with pytest.raises(SystemExit) as stopped:
            tiny_training.train(corpus, tmp_path, tiny_training.KINDS["lm"], updates=3)
    assert stopped.value.code == stopping.STATUS
    assert taken == []
    path = tiny_training.train(corpus, tmp_path, tiny_training.KINDS["lm"], updates=3)
    assert train.checkpoint_utils.load_checkpoint_to_cpu(str(path))["optimizer_history"][-1]["num_updates"] == 3


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="processes cannot be forked here")
def test_processes_of_a_training_process_can_be_ended(taken):
    """As a pool ends its workers, for which it then waits; one that only took note of the signal would live on."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    stopping.listen()
    worker = get_context("fork").Process(target=time.sleep, args=(100,))
    worker.start()
    worker.terminate()
    worker.join(50)
    assert worker.exitcode == -signal.SIGTERM
    tell()
    assert stopping.asked()
