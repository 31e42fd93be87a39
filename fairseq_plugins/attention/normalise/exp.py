"""The exponential kernel: softmax attention (Vaswani et al. 2017, equation 1), fused where torch offers it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..groups import for_every_head
from ..masks import AttentionMask
from ..stages import KERNEL, DropoutMasks, Kernel, scaled_score, scaled_scores
from .blockwise import blockwise_attention
from .softmax import masked_softmax
from .weights import at_least_float32

#: at most so many queries, for at least so many heads in all
FEW_QUERIES, MANY_HEADS = 8, 64


@KERNEL.register("exp")
class ExpKernel(Kernel):
    """``kappa(q, k) = exp(<q, k> / sqrt(D))``."""

    takes_groups = True

    def kappa(self, q: Tensor, k: Tensor) -> Tensor:
        return scaled_score(q, k).exp()

    def weights(self, q: Tensor, k: Tensor, mask: AttentionMask) -> Tensor:
        allowed, dead = mask.opened(q.size(2), q.device)
        return masked_softmax(mask.apply(scaled_scores(q, k), allowed), dead)

    def largest(
        self, q: Tensor, k: Tensor, mask: AttentionMask, r: int, sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        allowed, dead = mask.opened(q.size(2), q.device)
        log_sizes = None if sizes is None else sizes.log()  # weight times size is exp(score + log size)
        scores, indices = mask.apply(scaled_scores(q, k, log_sizes), allowed).topk(r, dim=-1)
        if log_sizes is not None:
            added = log_sizes.to(scores.dtype).expand(*scores.shape[:3], -1).gather(-1, indices)
            scores = at_least_float32(scores) - added
        return masked_softmax(scores, dead), indices

    def fused(self, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout_p: float) -> Tensor | None:
        if q.device.type == "cpu" and (dropout_p > 0 or _few_queries(q)):
            return None  # with dropout, torch's CPU attention takes its unfused path
        groups: dict[str, Any] = {"enable_gqa": True} if k.size(1) < q.size(1) else {}
        if mask.causal and mask.key_padding is None and mask.bias is None:
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, is_causal=True, **groups)
        allowed, dead = mask.opened(q.size(2), q.device)
        bias = mask.finite_bias(q.dtype)
        if bias is not None and allowed is not None:
            allowed = bias.masked_fill(~allowed, float("-inf"))
        if groups and allowed is not None and q.device.type != "cpu":
            # torch's GPU kernels that take a mask take no groups: it would make the whole matrix of weights instead
            k, v, groups = for_every_head(k, q.size(1)), for_every_head(v, q.size(1)), {}
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout_p, **groups)
        return out if dead is None else out.masked_fill(dead, 0.0)

    def fused_with_dropout(
        self, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, keep: DropoutMasks
    ) -> Tensor | None:
        if mask.bias is not None and mask.bias.requires_grad:
            return None
        return blockwise_attention(q, for_every_head(k, q.size(1)), for_every_head(v, q.size(1)), mask, keep)


def _few_queries(q: Tensor) -> bool:
    """A step of decoding many hypotheses, (B, H, T, D): on a CPU plain matrix products are faster then.

    A graph that is compiled or exported must not depend on the sizes.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return q.size(2) <= FEW_QUERIES and q.size(0) * q.size(1) >= MANY_HEADS
