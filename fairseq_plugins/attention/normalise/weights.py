"""From kernel values to attention weights, for kernels that may be 0 at every key of a query."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def normalise(kappa: Tensor, allowed: Tensor | None) -> Tensor:
    """``alpha_i = kappa_i / sum_j kappa_j`` over the allowed keys.

    Args:
        kappa: kernel values (B, H, T, S), not negative and finite, in float32 at least.
        allowed: bool, broadcastable to (B, H, T, S), True = may be attended to; None = all.

    Returns:
        (B, H, T, S): where every allowed kernel value of a query is 0 the weights are uniform over its allowed keys,
        and where it has no allowed key they are 0.
    """
    if allowed is not None:
        kappa = kappa.masked_fill(~allowed, 0.0)
    total = kappa.sum(dim=-1, keepdim=True)
    nowhere = total == 0
    weights = kappa / total.masked_fill(nowhere, 1.0)
    if allowed is None:
        return weights.masked_fill(nowhere, 1.0 / kappa.size(-1))
    uniform = allowed.to(kappa.dtype)
    return torch.where(nowhere, uniform / uniform.sum(dim=-1, keepdim=True).clamp(min=1.0), weights)


def full_precision(x: Tensor) -> Any:
    """A context in which autocast leaves products on x's device as they are: sums of kernel values overflow float16."""
    return torch.autocast(x.device.type, enabled=False)


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32 where it has half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
