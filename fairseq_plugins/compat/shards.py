"""Shards of ``fairseq-generate``: which batches each of several processes translates."""

from __future__ import annotations

import itertools
from typing import Any

from fairseq_plugins.left_out import EvaluationError, tokens_of


class EmptyShard(Exception):
    """There are more shards than batches, and this one has none."""


def take(cfg: Any) -> None:
    """Put ``--num-shards`` and ``--shard-id`` where the program looks: the place of a process among others.

    Raises:
        EvaluationError: there is no such shard.
    """
    data = getattr(cfg, "dataset", None)
    if data is None or data.num_shards == 1:
        return
    if not 0 <= data.shard_id < data.num_shards:
        raise EvaluationError(f"--shard-id {data.shard_id}: give a number from 0 to {data.num_shards - 1}")
    place = cfg.distributed_training
    place.distributed_world_size, place.distributed_rank = data.num_shards, data.shard_id


def deal(batches: Any) -> None:
    """Deal an ``EpochBatchIterator``'s batches out anew: the largest first, each to the shard with the fewest tokens.

    fairseq's every N-th batch differs much in tokens where batches are few: they go by length, and so do their sizes.
    """
    made, count = batches.frozen_batches, batches.num_shards
    if count == 1:
        return
    tokens = [sum(tokens_of(batches.dataset.size(number)) for number in batch) for batch in made]
    hands: list[list[int]] = [[] for _ in range(count)]
    held = [0] * count
    for index in sorted(range(len(made)), key=lambda index: -tokens[index]):
        hand = held.index(min(held))
        hands[hand].append(index)
        held[hand] += tokens[index]
    # fairseq will take every N-th batch of these, and passes over empty ones
    rounds = itertools.zip_longest(*(sorted(hand) for hand in hands))
    batches._frozen_batches = tuple([] if index is None else made[index] for one in rounds for index in one)


def raise_if_empty(batches: Any) -> None:
    """Look whether there is anything to do.

    Raises:
        EmptyShard: no batch is in the shard of the ``EpochBatchIterator``.
    """
    if not any(len(batch) for batch in batches.frozen_batches[batches.shard_id :: batches.num_shards]):
        raise EmptyShard
