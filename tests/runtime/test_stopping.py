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


@pytest.mark.parametrize(("update", "validated"), [(1, []), (2, [2]), (3, [2, 3])])
def test_a_training_is_told_to_stop_in_an_update(corpus, tmp_path, taken, monkeypatch, update, validated):
    """What is due after it, every second one, is not left out; of the last one it is no wish any more."""

    def told(trainer):
        if trainer.get_num_updates() == update:
            tell()
        return agreed(trainer)

    def seen(cfg, trainer, *arguments):
        validations.append(trainer.get_num_updates())
        return validate(cfg, trainer, *arguments)

    agreed, validate, validations = stopping.agreed, train.validate, []
    monkeypatch.setattr(train, "validate", seen)
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "agreed", told)
        if update < 3:
            with pytest.raises(SystemExit) as stopped:
                tiny_training.train(corpus, tmp_path, tiny_training.KINDS["lm"], updates=3)
            assert stopped.value.code == stopping.STATUS
        else:
            tiny_training.train(corpus, tmp_path, tiny_training.KINDS["lm"], updates=3)
    assert taken == []
    assert validations == validated
    state = train.checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "checkpoint_last.pt"))
    assert state["optimizer_history"][-1]["num_updates"] == update
    assert (state["extra_state"]["val_loss"] is not None) == (update in validated)
    if update < 3:  # no wish for the next training
        tiny_training.train(corpus, tmp_path, tiny_training.KINDS["lm"], updates=3)
        assert validations == [2, 3]


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
