"""The exponential kernel: softmax attention (Vaswani et al. 2017, equation 1), fused where torch offers it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..masks import AttentionMask
from ..stages import KERNEL, DropoutMasks, Kernel, scaled_scores
from .dropped import dropped_attention

#: torch < 2.0 has no fused attention
HAS_SDPA = hasattr(F, "scaled_dot_product_attention")
#: at most so many queries, for at least so many heads in all
FEW_QUERIES, MANY_HEADS = 8, 64


@KERNEL.register("exp")
class ExpKernel(Kernel):
    """``kappa(q, k) = exp(<q, k> / sqrt(D))``."""

    def weights(self, q: Tensor, k: Tensor, mask: AttentionMask) -> Tensor:
        allowed, dead = mask.safe(q.size(2), q.device)
        scores = mask.apply(scaled_scores(q, k), allowed)
        # as fairseq: the softmax of half precision scores is taken in float32
        weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        return weights if dead is None else weights.masked_fill(dead, 0.0)

    def largest(self, q: Tensor, k: Tensor, mask: AttentionMask, r: int) -> tuple[Tensor, Tensor]:
        allowed, dead = mask.safe(q.size(2), q.device)
        scores, indices = mask.apply(scaled_scores(q, k), allowed).topk(r, dim=-1)
        weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        return (weights if dead is None else weights.masked_fill(dead, 0.0)), indices

    def dense(self, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout: float) -> Tensor | None:
        if not HAS_SDPA or (q.device.type == "cpu" and (dropout > 0 or _few_queries(q))):
            return None  # with dropout, torch's CPU attention takes its unfused path
        if mask.causal and mask.key_padding is None and mask.bias is None:
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        allowed, dead = mask.safe(q.size(2), q.device)
        bias = mask.additive_bias(q.dtype)
        if bias is not None and allowed is not None:
            allowed = bias.masked_fill(~allowed, float("-inf"))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
        return out if dead is None else out.masked_fill(dead, 0.0)

    def dropped(self, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, masks: DropoutMasks) -> Tensor | None:
        if mask.bias is not None and mask.bias.requires_grad:
            return None
        return dropped_attention(q, k, v, mask, masks)


def _few_queries(q: Tensor) -> bool:
    """A step of decoding many hypotheses, (B, H, T, D): on a CPU plain matrix products are faster then."""
    return not torch.is_grad_enabled() and q.size(2) <= FEW_QUERIES and q.size(0) * q.size(1) >= MANY_HEADS
