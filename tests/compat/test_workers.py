"""Data-loading workers while a process is told to end, and when it ends."""

import multiprocessing
import os
import signal

from fairseq.data import iterators
from running import ended


def test_workers_outlive_a_signal_and_end_with_their_parent_in_silence(tmp_path):
    """SIGTERM to all, as Slurm sends it, costs no item; at the end nobody takes the workers' end for a crash."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            numbers = [list(range(24))] * 3
            # multiprocessing, not the iterators, ends those that are still alive
            alive = [iter(iterators.torch.utils.data.DataLoader(part, num_workers=4)) for part in numbers]
            first = [int(next(iterator)) for iterator in alive]
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, signal.SIGTERM)
            rest = [[int(next(iterator)) for _ in range(12)] for iterator in alive]
            workers = multiprocessing.active_children()
            multiprocessing.util._exit_function()  # raises, in this process, what torch's watch reports
            assert first == [0] * 3
            assert rest == [list(range(1, 13))] * 3
            assert len(workers) == 12
            assert not any(worker.is_alive() for worker in workers)
            status = 0
        except BaseException as error:
            (tmp_path / "error").write_text(repr(error))
        finally:
            os._exit(status)
    assert ended(child, limit=60) == 0, (tmp_path / "error").read_text()
