"""Query heads that share the keys and values of a group.

Ainslie et al., *GQA*, EMNLP 2023, arXiv 2305.13245; with one group multi-query attention (Shazeer 2019, arXiv
1911.02150). Query head i of H reads group floor(i * N / H) of N, so that the heads of a group are neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor


def check_groups(heads: int, groups: int) -> None:
    """Whether so many heads can share the keys and values of so many groups.

    Raises:
        ValueError: they cannot.
    """
    if not 1 <= groups <= heads or heads % groups:
        raise ValueError(f"--attention-kv-heads {groups}: must divide the {heads} attention heads")


def for_every_head(x: Tensor, heads: int) -> Tensor:
    """x (B, N, S, D) of groups as (B, H, S, D): a copy, or x itself where every head is a group."""
    return x if x.size(1) == heads else x.repeat_interleave(heads // x.size(1), dim=1)


def grouped_product(x: Tensor, y: Tensor) -> Tensor:
    """x (B, H, T, D) of heads times y (B, N, D, S) of their groups, which is not copied: (B, H, T, S)."""
    batch, heads, rows, width = x.shape
    if y.size(1) == heads:
        return torch.matmul(x, y)
    # the heads of a group are more rows to the same matrix
    return torch.matmul(x.reshape(batch, y.size(1), -1, width), y).view(batch, heads, rows, -1)
