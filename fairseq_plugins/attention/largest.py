"""The largest weights of each query, the first of equal ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def largest(weights: Tensor, r: int, sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The ``r`` largest of weights (..., S), r <= S, sorted, and their indices; of equal ones the first.

    ``torch.topk`` takes any of equal values, which would let a query that attends uniformly choose other keys step by
    step than all at once.

    Args:
        weights: not negative.
        r: how many.
        sizes: broadcastable to the weights, positive; what is sorted then is weight times size.
    """
    if sizes is not None:
        with torch.no_grad():
            _, indices = largest(weights * sizes, r)
        return weights.gather(-1, indices), indices
    keys = weights.size(-1)
    if weights.device.type != "cpu" and not torch.compiler.is_compiling():
        # whether some are equal is nothing to wait for
        kept, indices = weights.sort(dim=-1, descending=True, stable=True)
        return kept[..., :r], indices[..., :r]
    kept, indices = weights.topk(min(r + 1, keys), dim=-1)
    if r < keys and not torch.compiler.is_compiling():  # which cannot follow a choice that depends on data
        tied = (kept[..., r - 1] == kept[..., r]) & (kept[..., r] > 0)
        if tied.any():
            again, places = weights[tied].sort(dim=-1, descending=True, stable=True)
            kept = kept.index_put((tied,), again[:, : r + 1])
            indices = indices.index_put((tied,), places[:, : r + 1])
    return kept[..., :r], indices[..., :r]


def ranking(x: Tensor, r: int) -> Tensor:
    """Indices (..., r) of the largest of x (..., S), of which the first k are those of ``largest(x, k)`` for each k."""
    if x.device.type != "cpu":
        return x.sort(dim=-1, descending=True, stable=True)[1][..., :r]
    kept, indices = largest(x, r)
    if ((kept[..., 1:] == kept[..., :-1]) & (kept[..., 1:] > 0)).any():
        indices, order = indices.sort(dim=-1)
        order = kept.gather(-1, order).sort(dim=-1, descending=True, stable=True)[1]
        indices = indices.gather(-1, order)
    return indices


def renormalised(weights: Tensor) -> Tensor:
    """Weights (..., r) divided by their sum, where it is not 0."""
    total = weights.sum(dim=-1, keepdim=True)
    return weights / total.masked_fill(total == 0, 1.0)


def largest_one(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of x (..., S) and its index, of equal ones the first."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return x.max(dim=-1)
    # on one core numpy takes a sixth of torch's time, which has no vector instructions for it
    index = torch.from_numpy(np.asarray(x.detach().numpy().argmax(axis=-1)))
    return x.gather(-1, index[..., None])[..., 0], index
