"""Value-oblivious sparse mixing: the r keys of largest weight (Gupta and Berant, EMNLP 2021, arXiv 2103.09857)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..largest import largest, renormalised
from ..masks import AttentionMask
from ..stages import MIXING, Kernel
from .sparse import SparseMixing, mix_few


@MIXING.register("top-r")
class TopR(SparseMixing):
    """``o = sum_{i in K} alpha_i v_i / sum_{i in K} alpha_i`` over the set K of the r largest weights."""

    def sizes(self, v: Tensor) -> Tensor | None:
        """Of v (B, H, S, D): (B, H, 1, S), positive, what weights are multiplied by before K is chosen; None: by 1."""
        return None

    def attend_sparsely(
        self, kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        rs = self.rs(v.size(1))
        weights, indices = kernel.largest(q, k, mask, min(max(rs), v.size(2)), self.sizes(v))
        weights = renormalised(first(weights, rs))
        return mix_few(dropout(weights), indices, v), weights, indices

    def mix_sparsely(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        rs = self.rs(v.size(1))
        kept, indices = largest(weights, min(max(rs), v.size(2)), self.sizes(v))
        kept = renormalised(first(kept, rs))
        return mix_few(dropout(kept), indices, v), kept, indices


@MIXING.register("top-r-shifted")
class TopRShifted(SparseMixing):
    """``o = sum_{i in K} (alpha_i + delta / r) v_i`` with delta the weight outside of K.

    Of all mixtures of r values the nearest to the dense one, if the values are orthonormal (the paper's section 3).
    """

    def mix_sparsely(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        rs = self.rs(v.size(1))
        kept, indices = largest(weights, min(max(rs), v.size(2)))
        kept = first(kept, rs)
        # weight is left over only where r keys have some
        has_weight = (kept > 0).to(kept.dtype)
        share = (1.0 - kept.sum(dim=-1, keepdim=True)) / has_weight.sum(dim=-1, keepdim=True).clamp(min=1.0)
        kept = kept + share * has_weight
        return mix_few(dropout(kept), indices, v), kept, indices


def first(weights: Tensor, rs: list[int]) -> Tensor:
    """The first ``rs[h]`` of the sorted weights (B, H, T, r) of head h, 0 behind them."""
    if min(rs) >= weights.size(-1):
        return weights
    limit = torch.tensor(rs, device=weights.device).view(-1, 1, 1)
    return weights.masked_fill(torch.arange(weights.size(-1), device=weights.device) >= limit, 0.0)
