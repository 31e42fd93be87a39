"""Softmax over the keys that a query may attend to."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, dead: Tensor | None) -> Tensor:
    """The weights of scores (..., T, S), in float32 at least; 0 for the queries that are dead.

    Args:
        scores: -inf at excluded keys, but not at every key of a query.
        dead: bool, broadcastable to (..., T, 1), the queries without an allowed key; None = there are none. See
            :meth:`.masks.AttentionMask.opened`.
    """
    # as fairseq: the softmax of half precision scores is taken in float32
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    if dead is None:
        return weights
    if weights.requires_grad:  # softmax's gradient reads what it returned
        return weights.masked_fill(dead, 0.0)
    return weights.masked_fill_(dead, 0.0)
