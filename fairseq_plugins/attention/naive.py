"""Attention written out as in the papers, without padding conventions, caches or fused kernels.

The specification that the fast forms are tested against; nothing in the models uses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def scaled_score(q: Tensor, k: Tensor) -> Tensor:
    """``<q, k> / sqrt(D)`` of q (D,) and k (D,)."""
    return (q * k).sum() / math.sqrt(q.numel())


def elu1(q: Tensor, k: Tensor) -> Tensor:
    """``<elu(q) + 1, elu(k) + 1>``."""
    return ((F.elu(q) + 1) * (F.elu(k) + 1)).sum()


#: kappa by name, of one query (D,) and one key (D,)
KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "exp": lambda q, k: scaled_score(q, k).exp(),
    "relu": lambda q, k: scaled_score(q, k).clamp(min=0),
    "poly": lambda q, k: scaled_score(q, k) ** 2,
    "elu1": elu1,
}


def naive_attention(q: Tensor, k: Tensor, v: Tensor, kernel: str = "exp", allowed: Tensor | None = None) -> Tensor:
    """``o = sum_i kappa(q, k_i) v_i / sum_i kappa(q, k_i)``, query by query; uniform where every kappa is 0.

    Args:
        q, k, v: (B, H, T, D), (B, H, S, D), (B, H, S, D).
        kernel: a name in :data:`KERNELS`; ``poly`` is the square.
        allowed: bool, broadcastable to (B, H, T, S).

    Returns:
        (B, H, T, D); 0 for a query without an allowed key.
    """
    batch, heads, queries, width = q.shape
    keys = k.size(2)
    allowed = torch.ones(1, 1, 1, 1, dtype=torch.bool) if allowed is None else allowed
    allowed = allowed.expand(batch, heads, queries, keys)
    rows = []
    for b in range(batch):
        for h in range(heads):
            for t in range(queries):
                seen = [s for s in range(keys) if bool(allowed[b, h, t, s])]
                if not seen:
                    rows.append(torch.zeros(width, dtype=v.dtype))
                    continue
                kappa = torch.stack([KERNELS[kernel](q[b, h, t], k[b, h, s]) for s in seen])
                alpha = kappa / kappa.sum() if kappa.sum() > 0 else torch.full_like(kappa, 1 / len(seen))
                rows.append(sum(weight * v[b, h, s] for weight, s in zip(alpha, seen)))
    return torch.stack(rows).view(batch, heads, queries, width)
