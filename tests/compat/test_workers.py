"""Data-loading workers and the thread that buffers batches while a process is told to end, and when it ends."""

import multiprocessing
import os
import signal
import subprocess
import sys

from fairseq.data import iterators
from running import ended

#: prepares batches in torch's code for as long as it may
LOADING = """
import sys, torch
from fairseq.data import iterators
if sys.argv[1] == "repaired":
    import fairseq_plugins.models

class Batches:
    def __len__(self):
        return 10**9

    def __iter__(self):
        while True:
            batch = torch.zeros(3, 3)
            for _ in range(20):
                batch = torch.cat([batch, batch])[:50].clone()
            yield batch

loading = [iterators.BufferedIterator(int(size), Batches()) for size in sys.argv[2:]]
for one in loading:
    next(one)
sys.exit(3)
"""


def test_threads_that_buffer_batches_do_not_abort_their_process(root):
    """Stock dies of each (SIGABRT), whether or not its buffer has room (0: any number of batches)."""
    command = [sys.executable, "-c", LOADING, "repaired", "0", "2"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr


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
