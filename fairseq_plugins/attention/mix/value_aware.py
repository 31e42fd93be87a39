"""Value-aware sparse mixing: the best of all mixtures of r values (Gupta and Berant, EMNLP 2021, arXiv 2103.09857)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..masks import AttentionMask
from ..normalise.weights import full_precision
from ..stages import MIXING, Dropout, dropped_share
from .caratheodory import exact_support
from .sparse import SparseMixing, SparseOptions, flat_indices, mix_few
from .support_search import Support, value_aware_support


@dataclass
class ValueAwareOptions(SparseOptions):
    """Options of ``--attention-mixing value-aware-r``."""

    attention_value_aware_swaps: int = field(
        default=0,
        metadata={"help": "value-aware: after each key found, try as many exchanges of one; better and slower"},
    )
    attention_value_aware_chunk: int = field(
        default=0,
        metadata={"help": "value-aware: search for about so many queries at a time, of all heads (0: by the device)"},
    )


@MIXING.register("value-aware-r")
class ValueAware(SparseMixing):
    """``argmin ||o - sum_i beta_i v_i||^2`` over weights beta with at most r above 0, o the dense mixture (section 3).

    For r = 1 that is the value nearest to o; from r = D + 1 on it is o itself, by Carathéodory's theorem, and between
    it is the result of :func:`.support_search.value_aware_support`. A query that may attend to at most r keys, or whose
    weight lies on as many, is mixed densely.

    Gradients are those of the optimal weights on the keys found, which is what the optimum's gradients are wherever
    its keys do not change.

    Raises:
        ValueError: an option has no meaning; the message names it.
    """

    Options = ValueAwareOptions
    searches = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.swaps, self.chunk = options.attention_value_aware_swaps, options.attention_value_aware_chunk
        for name, value in (("swaps", self.swaps), ("chunk", self.chunk)):
            if value < 0:
                raise ValueError(f"--attention-value-aware-{name} {value}: must not be negative")

    def attends_densely(self, v: Tensor, dropout: Dropout, need_weights: bool) -> bool:
        if min(self.rs(v.size(1))) > v.size(3) and not need_weights and not dropped_share(dropout):
            return True  # Carathéodory: the same output, of other weights
        return super().attends_densely(v, dropout, need_weights)

    def mix_sparsely(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        rs = [min(r, v.size(2)) for r in self.rs(v.size(1))]
        allowed = mask.allowed(weights.size(2), weights.device)
        alpha = weights if allowed is None else weights.masked_fill(~allowed, -1.0)
        values = v.to(weights.dtype)
        with full_precision(v):  # the search lives on small differences
            o = torch.matmul(weights, values)
            if len(set(rs)) == 1:
                out, chosen, indices = self._mix(rs[0], o, values, alpha, dropout)
            else:
                out, chosen, indices = self._mix_each(rs, o, values, alpha, dropout)
        return out.to(v.dtype), chosen, indices

    def _mix_each(
        self, rs: list[int], o: Tensor, v: Tensor, alpha: Tensor, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`_mix`, with r of each head."""
        parts, order = [], []
        for r in sorted(set(rs)):
            heads = [head for head, its_r in enumerate(rs) if its_r == r]
            out, chosen, indices = self._mix(r, o[:, heads], v[:, heads], alpha[:, heads], dropout)
            padding = (0, max(rs) - chosen.size(-1))
            parts.append((out, F.pad(chosen, padding), F.pad(indices, padding)))
            order += heads
        back = sorted(range(len(order)), key=order.__getitem__)
        out, chosen, indices = (torch.cat(part, dim=1)[:, back] for part in zip(*parts))
        return out, chosen, indices

    def _mix(
        self, r: int, o: Tensor, v: Tensor, alpha: Tensor, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Heads of one r; alpha (B, H, T, S) is negative where a key is excluded."""
        shape = alpha.shape[:3]
        flat_v, flat_alpha = v.detach().flatten(0, 1), alpha.detach().flatten(0, 1)
        if r > v.size(3):
            indices, chosen = (x.view(*shape, -1) for x in exact_support(flat_v, flat_alpha.clamp(min=0.0)))
            # not through the weights, so that without dropout the gradients too are those of dense mixing
            return o + mix_few(dropout(chosen) - chosen, indices, v), chosen, indices
        found = value_aware_support(o.detach().flatten(0, 1), flat_v, flat_alpha, r, self.swaps, self.chunk)
        support = Support(*(x.view(*shape, *x.shape[2:]) for x in found))
        chosen = support.weights
        if torch.is_grad_enabled() and (o.requires_grad or v.requires_grad):
            chosen = differentiable_weights(support, o, v, alpha)
        return mix_few(dropout(chosen), support.indices, v), chosen, support.indices


def differentiable_weights(support: Support, o: Tensor, v: Tensor, alpha: Tensor) -> Tensor:
    """The support's weights (B, H, T, r) as a function of o (B, H, T, D), v (B, H, S, D) and alpha (B, H, T, S).

    A Newton step from the optimal weights does not move them, and its first derivatives are those of the optimum by the
    implicit function theorem. Idle keys get none.
    """
    rows = flat_indices(support.indices, v.size(2)).flatten()
    points = v.flatten(0, 2).index_select(0, rows).view(*support.indices.shape, -1) - o.unsqueeze(3)
    nearest = torch.matmul(support.weights.unsqueeze(3), points)
    gradient = torch.matmul(points, nearest.transpose(-2, -1))
    step = -torch.matmul(support.inverse, gradient).squeeze(-1)
    weights = support.weights + (step - step.detach())
    own = alpha.gather(-1, support.indices) * (support.weights > 0)
    return torch.where(support.complete.unsqueeze(3), own, weights)
