"""The kernel of linear attention, in its quadratic, its linear and its recurrent form.

Katharopoulos et al., *Transformers are RNNs*, ICML 2020, arXiv 2006.16236, section 3.2 to 3.4 and equation 7.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..decode.cache import Buffer
from ..groups import for_every_head, grouped_product
from ..masks import AttentionMask
from ..stages import KERNEL, Kernel, RecurrentForm
from .weights import at_least_float32, full_precision, normalise


@KERNEL.register("elu1")
class Elu1Kernel(Kernel):
    """``kappa(q, k) = <phi(q), phi(k)>`` with ``phi(x) = elu(x) + 1``.

    The linear form takes sums over keys once for all queries, O((T + S) D^2) instead of O(T S D). Dropout of attention
    weights needs the weights, so training takes the linear form only without it. A query whose kernel is 0 at every
    key, as very negative scores make it in floating point, attends uniformly.

    Raises:
        ValueError: a mask adds to the scores: this kernel has none to add to.
    """

    takes_groups = True

    def kappa(self, q: Tensor, k: Tensor) -> Tensor:
        return ((F.elu(q) + 1) * (F.elu(k) + 1)).sum()

    def weights(self, q: Tensor, k: Tensor, mask: AttentionMask) -> Tensor:
        if mask.adds_to_scores():
            raise ValueError("--attention-kernel elu1 has no scores that an additive attn_mask could change")
        with full_precision(q):
            kappa = grouped_product(query_features(q), key_features(k).transpose(-2, -1))
        return normalise(kappa, mask.allowed(q.size(2), q.device))

    def fused(self, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout_p: float) -> Tensor | None:
        queries, keys, width = q.size(2), k.size(2), q.size(3)
        if dropout_p > 0 or mask.bias is not None or queries * keys <= (queries + keys) * width:
            return None
        with full_precision(q):
            return linear_attention(q, k, v, mask.causal, mask.key_padding)

    def recurrent(self) -> RecurrentForm:
        return Elu1State()


class Elu1State(RecurrentForm):
    """All keys' features with their values, summed: one (B, N, D + 1, D + 1), see :func:`key_sums`."""

    def step(self, buffer: Buffer, q: Tensor, k: Tensor, v: Tensor, key_padding: Tensor | None) -> Tensor:
        with full_precision(q):
            queries, keys, values = query_features(q), key_features(k), values_and_one(v, key_padding)
            sums, past = key_sums(keys, values), buffer.get("key_sums")
            buffer["key_sums"] = sums = sums if past is None else past + sums
            if q.size(2) == 1:
                return from_sums(queries, sums).to(v.dtype)
            return causal_attention(queries, keys, values, past).to(v.dtype)


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = False, key_padding: Tensor | None = None, chunk: int = 64
) -> Tensor:
    """``o_t = sum_i kappa(q_t, k_i) v_i / sum_i kappa(q_t, k_i)`` in time linear in the number of keys.

    Args:
        q, k, v: (B, H, T, D), (B, N, S, D), (B, N, S, D), N heads or groups of heads (:mod:`..groups`).
        causal: query t sees the keys 0..t (needs T == S).
        key_padding: (B, S) bool, True = pad.
        chunk: under ``causal``, as many queries look at each other's keys one by one; earlier keys reach them as a sum.

    Returns:
        (B, H, T, D); 0 for a query without an allowed key.
    """
    queries, keys, values = query_features(q), key_features(k), values_and_one(v, key_padding)
    if causal:
        return causal_attention(queries, keys, values, None, chunk).to(v.dtype)
    return from_sums(queries, key_sums(keys, values)).to(v.dtype)


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor, past: Tensor | None, chunk: int = 64) -> Tensor:
    """What query t reads from the keys 0..t and from the past.

    Args:
        queries, keys: features (B, H, T, D) and (B, N, T, D).
        values: (B, N, T, D + 1) of :func:`values_and_one`.
        past: (B, N, D + 1, D + 1) of :func:`key_sums`, or None.
        chunk: as many queries look at each other's keys one by one; earlier keys reach them as a sum.

    Returns:
        (B, H, T, D).
    """
    heads, time = queries.size(1), queries.size(2)
    keys, values = for_every_head(keys, heads), for_every_head(values, heads)
    chunks = -(-time // chunk)
    behind = chunks * chunk - time
    queries, keys, padded = (
        F.pad(x, (0, 0, 0, behind)).view(*x.shape[:2], chunks, chunk, -1) for x in (queries, keys, values)
    )  # (B, H, chunks, chunk, D or D + 1)
    of_chunk = torch.matmul(keys.transpose(-2, -1), padded)
    earlier, uniform = of_chunk.cumsum(dim=2) - of_chunk, values.cumsum(dim=2)
    if past is not None:
        past = for_every_head(past, heads)
        earlier, uniform = earlier + past[:, :, None, :-1], uniform + past[:, :, -1:]
    inside = torch.matmul(queries, keys.transpose(-2, -1)).tril()
    mixed = torch.matmul(queries, earlier) + torch.matmul(inside, padded)
    return divided(mixed.flatten(2, 3)[:, :, :time], uniform)


def query_features(q: Tensor) -> Tensor:
    """``phi(q)``, the largest of a query made 1: attention weights do not depend on that, and sums stay in range."""
    features = key_features(q)
    largest = features.detach().amax(dim=-1, keepdim=True)
    return features / largest.masked_fill(largest == 0, 1.0)


def key_features(k: Tensor) -> Tensor:
    """``phi(k) = elu(k) + 1``, in float32 at least; exp(k) below 0, which 1 + elu(k) would round to 0 too early."""
    k = at_least_float32(k)
    return torch.where(k > 0, k + 1.0, k.clamp(max=0.0).exp())


def values_and_one(v: Tensor, key_padding: Tensor | None) -> Tensor:
    """v (B, H, S, D) and a column of ones, all 0 at padded keys: (B, H, S, D + 1). The ones sum up the weights."""
    joined = F.pad(at_least_float32(v), (0, 1), value=1.0)
    return joined if key_padding is None else joined.masked_fill(key_padding[:, None, :, None], 0.0)


def key_sums(features: Tensor, values: Tensor) -> Tensor:
    """features (B, N, S, D), values (B, N, S, D + 1) -> (B, N, D + 1, D + 1).

    Row d sums the values weighted by feature d, the last row sums them with equal weights.
    """
    return torch.cat([torch.matmul(features.transpose(-2, -1), values), values.sum(dim=2, keepdim=True)], dim=2)


def from_sums(features: Tensor, sums: Tensor) -> Tensor:
    """What queries with these features (B, H, T, D) read from :func:`key_sums`: (B, H, T, D)."""
    return divided(grouped_product(features, sums[:, :, :-1]), for_every_head(sums[:, :, -1:], features.size(1)))


def divided(mixed: Tensor, uniform: Tensor) -> Tensor:
    """Weighted sums of values and their weights (B, H, T, D + 1) -> means (B, H, T, D); uniform where all weigh 0."""
    mixed = torch.where(mixed[..., -1:] == 0, uniform, mixed)
    total = mixed[..., -1:]
    return mixed[..., :-1] / total.masked_fill(total == 0, 1.0)
