"""Data-loading worker processes."""

import os
import pickle
import queue
import signal
from unittest import mock

import torch
from answers import Purpose
from fairseq.data import iterators
from fairseq.data.iterators import EpochBatchIterator


class Numbers(torch.utils.data.Dataset):
    epoch = 0

    def __getitem__(self, index):
        return 10 * self.epoch + index

    def __len__(self):
        return 4

    def set_epoch(self, epoch):
        self.epoch = epoch


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(range(3))


BATCHES = [[0, 1], [2, 3]]


def epochs(*arguments, shuffle=True, batches=BATCHES, **kwargs):
    """The batches of two epochs, and the state after the first."""

    def call(_):
        itr = EpochBatchIterator(Numbers(), list, batches, **kwargs)
        with mock.patch.object(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2):  # not five seconds for an end
            first = list(itr.next_epoch_itr(shuffle, *arguments))
            found = first, itr.state_dict(), list(itr.next_epoch_itr(shuffle=shuffle))
            del itr
        return found

    return call


def resumed(**kwargs):
    """The rest of an epoch, by a second iterator that has the state of the first."""

    def call(_):
        first, second = (EpochBatchIterator(Numbers(), list, BATCHES, **kwargs) for _ in range(2))
        next(first.next_epoch_itr(shuffle=False))
        second.load_state_dict(first.state_dict())
        return list(second.next_epoch_itr(shuffle=False)), second.end_of_epoch()

    return call


def loader(*arguments, data=Numbers, **kwargs):
    return iterators.torch.utils.data.DataLoader(data(), *arguments, **kwargs)


def items(*arguments, times=1, **kwargs):
    def call(_):
        made = loader(*arguments, **kwargs)
        return [[torch.as_tensor(item).tolist() for item in made] for _ in range(times)]

    return call


def start(worker):
    """As init functions are: once in each worker, with its number."""
    Numbers.epoch = 100 + worker


def fail(worker):
    raise KeyError(worker)


def worker_of(made):
    iterator = iter(made)
    next(iterator)
    return iterator, iterator._workers[0]


def told_by(send):
    """Whether a worker still lives some time after it was told to end."""

    def call(_):
        iterator, worker = worker_of(loader(num_workers=1, collate_fn=list))
        try:
            send(worker)
            worker.join(0.5)
            return worker.is_alive()
        finally:
            if iterator._worker_pids_set:
                torch.utils.data._utils.signal_handling._remove_worker_pids(id(iterator))
                iterator._worker_pids_set = False
            worker.kill()

    return call


class Broken:
    def __len__(self):
        return 3

    def __iter__(self):
        yield 1
        raise KeyError("data")


def buffered(source, size=2, times=2, take=None):
    """What a buffer hands out, and what after its end."""

    def call(_):
        buffer = iterators.BufferedIterator(size, source())
        if take is not None:
            buffer.take(take)
        found = []
        for _ in range(times):
            try:
                found.append(list(buffer))
            except KeyError as error:
                found.append(repr(error))
            buffer._queue.put(iterators._sentinel)  # who asks again after the end would wait for ever
        return found, len(buffer)

    return call


def consumed(*arguments, **kwargs):
    """What the thread itself puts into a queue."""

    def call(_):
        items = queue.Queue()
        thread = iterators.BackgroundConsumer(items, *arguments, **kwargs)
        thread.start()
        thread.join()
        found = [items.get() for _ in range(items.qsize())]
        return [repr(item) for item in found if item is not iterators._sentinel], thread.count, thread.daemon

    return call


CONTRACTS = {
    "epoch_in_workers": {
        "no workers": epochs(),
        "no workers, reused": epochs(reuse_dataloader=True),
        "a worker": epochs(num_workers=1),
        "in order": epochs(shuffle=False, num_workers=1),
        "shards": epochs(True, num_workers=1, num_shards=2, shard_id=1),
        "buffered": epochs(shuffle=False, num_workers=1, buffer_size=2),
        "batches by epoch": epochs(num_workers=1, batches=lambda data, epoch: [[epoch], [0]]),
        "resumed": resumed(num_workers=1),
        "resumed without workers": resumed(),
        "workers that know the epoch": Purpose(
            epochs(shuffle=False, num_workers=1, reuse_dataloader=True),
            (
                [[10, 11], [12, 13]],
                {"version": 2, "epoch": 2, "iterations_in_epoch": 0, "shuffle": False},
                [[20, 21], [22, 23]],
            ),
        ),
    },
    "worker_signals": {
        "no workers": items(),
        "workers": items(2, num_workers=2),
        "by position": items(2, False, None, None, 1, list, False, True, 0.0, start),
        "by position, without an init function": items(2, False, None, None, 1, None, False, True, 0.0, None),
        "an init function": items(num_workers=1, worker_init_fn=start, collate_fn=list),
        "an init function that fails": items(num_workers=1, worker_init_fn=fail),
        "an init function without workers": items(worker_init_fn=fail, collate_fn=list),
        "a stream": items(data=Stream, batch_size=2, num_workers=1, collate_fn=list),
        "persistent workers": items(num_workers=1, persistent_workers=True, collate_fn=list, times=2),
        "a bad argument": items(num_workers=-1),
        "an unknown argument": items(nobodys=1),
        "a loader is torch's": lambda _: isinstance(loader(), torch.utils.data.DataLoader),
        "pickled": lambda _: list(pickle.loads(pickle.dumps(loader(collate_fn=list)))),
        "torch's other names": lambda _: [
            iterators.torch.utils.data.Dataset is torch.utils.data.Dataset,
            iterators.torch.cuda is torch.cuda,
        ],
        "a worker that torch terminates": told_by(lambda worker: worker.terminate()),
        "a worker that multiprocessing terminates": told_by(lambda worker: worker._popen.terminate()),
        "a worker that somebody else tells to end": Purpose(
            told_by(lambda worker: os.system(f"kill -{int(signal.SIGTERM)} {worker.pid}")), True
        ),
    },
    "buffer_thread": {
        "in order": buffered(lambda: list(range(5))),
        "no room": buffered(lambda: list(range(5)), size=1),
        "all at once": buffered(lambda: list(range(5)), size=0),
        "no items": buffered(list),
        "the first ones": buffered(lambda: iterators.CountingIterator([3, 4, 5]), take=2),
        "data that fail": buffered(Broken),
        "as fairseq starts it": consumed([1, 2, 3], 3, None),
        "fewer items": consumed([1, 2, 3], 2, None),
        "any number": consumed([1, 2, 3], None, None),
        "by keywords": consumed(source=[1], max_len=1, cuda_device=None),
        "no source": consumed(None, 1, None),
        "too few arguments": consumed([1]),
        "an unknown argument": consumed([1], 1, None, nobodys=1),
    },
}
