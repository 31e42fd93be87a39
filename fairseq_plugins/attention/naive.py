"""Attention written out as in the papers, without padding conventions, caches or fused kernels.

The specification that the fast forms are tested against; nothing in the models uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .stages import Kernel


def naive_attention(q: Tensor, k: Tensor, v: Tensor, kernel: Kernel, allowed: Tensor | None = None) -> Tensor:
    """``o = sum_i kappa(q, k_i) v_i / sum_i kappa(q, k_i)``, query by query; uniform where every kappa is 0.

    Args:
        q, k, v: (B, H, T, D), (B, N, S, D), (B, N, S, D); head h reads group floor(h * N / H) of N.
        kernel: whose :meth:`.stages.Kernel.kappa` it is.
        allowed: bool, broadcastable to (B, H, T, S).

    Returns:
        (B, H, T, D); 0 for a query without an allowed key.
    """
    batch, heads, queries, width = q.shape
    groups, keys = k.size(1), k.size(2)
    allowed = torch.ones(1, 1, 1, 1, dtype=torch.bool) if allowed is None else allowed
    allowed = allowed.expand(batch, heads, queries, keys)
    rows = []
    for b in range(batch):
        for h in range(heads):
            g = h * groups // heads
            for t in range(queries):
                seen = [s for s in range(keys) if bool(allowed[b, h, t, s])]
                if not seen:
                    rows.append(torch.zeros(width, dtype=v.dtype))
                    continue
                kappa = torch.stack([kernel.kappa(q[b, h, t], k[b, g, s]) for s in seen])
                alpha = kappa / kappa.sum() if kappa.sum() > 0 else torch.full_like(kappa, 1 / len(seen))
                rows.append(alpha @ v[b, g, seen])
    return torch.stack(rows).view(batch, heads, queries, width)
