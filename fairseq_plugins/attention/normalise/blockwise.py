"""Softmax attention with dropout on CPUs, block by block; the backward pass makes the weights anew.

As in FlashAttention (Dao et al. 2022, arXiv 2205.14135), except that a block holds whole rows of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..bits import pack, unpack
from ..masks import AttentionMask
from ..stages import DropoutMasks, scaled_scores
from .softmax import masked_softmax
from .weights import at_least_float32, full_precision

#: a block has about so many weights: as float32 they stay in the processor's caches
BLOCK = 1 << 20


def blockwise_attention(q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, keep: DropoutMasks) -> Tensor:
    """``dropout(softmax(q k^T / sqrt(D))) v``.

    Args:
        q, k, v: (B, H, T, D), (B, H, S, D), (B, H, S, D) of one type.
        mask: its bias takes no gradient.
        keep: which weights dropout keeps.

    Returns:
        (B, H, T, D), in memory (T, B, H, D); 0 for a query without an allowed key. It can be differentiated once.
    """
    apply: Callable[..., Tensor] = _BlockwiseAttention.apply
    return apply(q, k, v, mask, keep)


class _BlockwiseAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, keep: DropoutMasks) -> Tensor:
        out = _like(v, q.size(2))
        bits = []
        with full_precision(q):
            for place, weights in _blocks(q, k, mask):
                kept = keep.draw(weights.numel())
                bits.append(pack(kept))
                weights = weights.to(v.dtype).mul_(kept.view(weights.shape).to(v.dtype))
                out[place] = torch.matmul(weights, v[place])
            out.mul_(keep.scale)
        ctx.save_for_backward(q, k, v, out, *bits)
        ctx.mask, ctx.scale = mask, keep.scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *bits = ctx.saved_tensors
        grad_q, grad_k, grad_v = (_like(x, x.size(2)) for x in (q, k, v))
        with full_precision(q):
            # sum_j of weight_j times its gradient, with dropout too (FlashAttention, appendices B.2 and B.4)
            delta = (at_least_float32(grad) * at_least_float32(out)).sum(dim=-1, keepdim=True)
            grad = grad * ctx.scale
            for (place, weights), its_bits in zip(_blocks(q, k, ctx.mask), bits):
                kept = unpack(its_bits, weights.numel()).view(weights.shape).to(v.dtype)
                of_weights = torch.matmul(grad[place], v[place].transpose(-2, -1)).mul_(kept)
                grad_v[place] = _transposed_product(kept.mul_(weights.to(v.dtype)), grad[place])
                of_scores = at_least_float32(of_weights).sub_(delta[place]).mul_(weights).to(q.dtype)
                grad_q[place] = torch.matmul(of_scores, k[place])
                grad_k[place] = _transposed_product(of_scores, q[place])
            scale = q.size(3) ** -0.5
            return grad_q.mul_(scale), grad_k.mul_(scale), grad_v, None, None


def _transposed_product(weights: Tensor, x: Tensor) -> Tensor:
    """weights (b, h, T, S) and x (b, h, T, D) -> (b, h, S, D); torch would copy transposed weights, which are large."""
    return torch.matmul(x.transpose(-2, -1), weights).transpose(-2, -1)


def _blocks(q: Tensor, k: Tensor, mask: AttentionMask) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Block by block: its sentences and heads, and its weights (b, h, T, S), in float32 at least.

    Whoever takes the weights may change them.
    """
    batch, heads, queries, _ = q.shape
    shape = (batch, heads, queries, k.size(2))
    allowed, dead = mask.opened(queries, q.device)
    excluded = None if allowed is None else (~allowed).expand(shape)
    bias = mask.finite_bias(q.dtype)
    bias = None if bias is None else bias.expand(shape)
    dead = None if dead is None else dead.expand(batch, heads, queries, 1)
    for place in _places(shape):
        scores = scaled_scores(q[place], k[place])
        if bias is not None:
            scores += bias[place]
        if excluded is not None:
            scores.masked_fill_(excluded[place], float("-inf"))
        yield place, masked_softmax(scores, None if dead is None else dead[place])


def _places(shape: tuple[int, int, int, int]) -> Iterator[tuple[slice, slice]]:
    """Sentences and heads whose weights make about :data:`BLOCK`: several sentences, or some heads of one."""
    batch, heads, queries, keys = shape
    some_heads = min(heads, max(1, BLOCK // (queries * keys)))
    some = max(1, BLOCK // (heads * queries * keys)) if some_heads == heads else 1
    for first in range(0, batch, some):
        for head in range(0, heads, some_heads):
            yield slice(first, first + some), slice(head, head + some_heads)


def _like(x: Tensor, times: int) -> Tensor:
    """(B, H, times, D) for x (B, H, T, D), in memory (times, B, H, D): as projections write and read it."""
    batch, heads, _, width = x.shape
    return x.new_empty(times, batch, heads, width).permute(1, 2, 0, 3)
