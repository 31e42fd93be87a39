"""What a budget may hold equal: a model's parameters, or the operations or seconds that its training takes a token."""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch

from fairseq_plugins.benchmark.flops import count_flops

from .batches import Batches

#: how often each of two models is timed on every batch, in turn
ROUNDS = 7


def parameters(args: Namespace, vocabulary: int | None = None) -> int:
    """Parameters of the model, counted on it; shared ones once.

    Args:
        vocabulary: symbols of the dictionary, where the data are not there yet.
    """
    from fairseq_plugins.checkpoints.building import Vocabularies, build

    if vocabulary is None:
        from fairseq import tasks

        model = tasks.setup_task(args).build_model(args)
    else:
        model = build(args, Vocabularies(vocabulary, vocabulary))
    return sum(parameter.numel() for parameter in model.parameters())


def operations(args: Namespace) -> float:
    """Floating-point operations of a target token, forward and backward, on batches of the training itself.

    Counted by :func:`.count_flops`: matrix products, those of attention included.
    """
    batches = Batches(args)
    model = batches.model().train()
    criterion = batches.task.build_criterion(batches.cfg.criterion)
    total = tokens = 0
    for batch in batches.some(model):
        total += count_flops(lambda batch=batch: criterion(model, batch)[0].backward())  # type: ignore[misc]
        tokens += batch["ntokens"]
    return total / tokens


def seconds_ratio(args: Namespace, other: Namespace) -> tuple[float, float]:
    """Seconds of a target token of one training over those of another, measured in turn on the same batches.

    Returns:
        The ratio of the medians, and by how much (a fraction) the quarters of its rounds scatter around it.
    """
    sides = [_stepper(args), _stepper(other)]
    for step in sides:
        step()
    ratios = []
    for _ in range(ROUNDS):
        first, second = (step() for step in sides)
        ratios.append(first / second)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, (high - low) / 2 / middle


def _stepper(args: Namespace) -> Callable[[], float]:
    """A function that takes all sample batches, forward, backward and the optimizer's step, and returns the seconds."""
    batches = Batches(args)
    model = batches.model().train()
    criterion = batches.task.build_criterion(batches.cfg.criterion)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-9)
    samples: list[dict[str, Any]] = batches.some(model)

    def step() -> float:
        begun = time.perf_counter()
        for batch in samples:
            optimizer.zero_grad()
            criterion(model, batch)[0].backward()
            optimizer.step()
        return time.perf_counter() - begun

    return step
