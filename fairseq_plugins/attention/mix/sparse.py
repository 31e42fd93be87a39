"""What the sparse mixings share: the option ``--attention-r``, and mixing with few weights.

B batch, H heads, T queries, S keys, D width of a head, r weights a query.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..masks import AttentionMask
from ..stages import Dropout, Kernel, Mixing
from .dense import DenseMixing


@dataclass
class SparseOptions:
    """Options of every sparse mixing; one with more of its own inherits from this."""

    attention_r: str = field(
        default="8",
        metadata={
            "help": "how many keys a query mixes, at most: 8 everywhere; 4,8,8 for each layer; 4:8:8:2 for each head; "
            "4:8,2:2 for both"
        },
    )


def parse_r(text: str) -> list[list[int]]:
    """``"4:8,2:2"`` -> ``[[4, 8], [2, 2]]``: r of each head of each layer; one entry stands for all.

    Raises:
        ValueError: an r is no positive integer.
    """
    layers = [[part.strip() for part in layer.split(":")] for layer in str(text).split(",")]
    if not all(part.isdecimal() and int(part) > 0 for layer in layers for part in layer):
        raise ValueError(
            f"--attention-r {text}: give positive integers, R everywhere, R,R,... for each layer, R:R:... for each head"
        )
    return [[int(part) for part in layer] for layer in layers]


class SparseMixing(Mixing):
    """A mixing of at most r keys a query; with r for every key it is :class:`.dense.DenseMixing`.

    Raises:
        ValueError: an option has no meaning, or does not fit the model's layers or heads; the message names it.
    """

    Options: type | None = SparseOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.r_option, self.layer_rs = options.attention_r, parse_r(options.attention_r)
        self.layer = 0 if len(self.layer_rs) == 1 else None
        self.dense = DenseMixing(None)

    def place(self, layer: int, layers: int) -> None:
        if len(self.layer_rs) not in (1, layers):
            raise ValueError(
                f"--attention-r {self.r_option}: {len(self.layer_rs)} layers given, the model has {layers}"
            )
        self.layer = layer if len(self.layer_rs) == layers else 0

    def treats_heads_alike(self) -> bool:
        return all(len(rs) == 1 for rs in self.layer_rs)

    def rs(self, heads: int) -> list[int]:
        """r of each head."""
        if self.layer is None:
            raise ValueError(f"--attention-r {self.r_option}: no layer was told its place; give one r for all layers")
        rs = self.layer_rs[self.layer]
        if len(rs) not in (1, heads):
            raise ValueError(f"--attention-r {self.r_option}: {len(rs)} heads given, the model has {heads}")
        return rs * heads if len(rs) == 1 else rs

    def attend(
        self, kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout: Dropout, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.attends_densely(v, dropout, need_weights):
            return self.dense.attend(kernel, q, k, v, mask, dropout, need_weights)
        out, chosen, indices = self.attend_sparsely(kernel, q, k, v, mask, dropout)
        return out, scattered(chosen, indices, v.size(2)) if need_weights else None

    def mix(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        if min(self.rs(v.size(1))) >= v.size(2):
            return self.dense.mix(weights, v, mask, dropout)
        out, chosen, indices = self.mix_sparsely(weights, v, mask, dropout)
        return out, scattered(chosen, indices, v.size(2))

    def attends_densely(self, v: Tensor, dropout: Dropout, need_weights: bool) -> bool:
        """Whether dense mixing of v (B, H, S, D) gives the output, and the weights if they are asked for."""
        return min(self.rs(v.size(1))) >= v.size(2)

    def attend_sparsely(
        self, kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`attend`, with weights (B, H, T, r) and their keys' indices."""
        return self.mix_sparsely(kernel.weights(q, k, mask), v, mask, dropout)

    def mix_sparsely(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`mix`, with weights (B, H, T, r) and their keys' indices."""
        raise NotImplementedError


def scattered(weights: Tensor, indices: Tensor, keys: int) -> Tensor:
    """Weights (B, H, T, r) of the keys ``indices`` as (B, H, T, S); those of one key add up."""
    return weights.new_zeros(*weights.shape[:3], keys).scatter_add(-1, indices, weights)


def mix_few(weights: Tensor, indices: Tensor, v: Tensor) -> Tensor:
    """``sum_j weights_j v_{indices_j}`` of weights (B, H, T, r) and v (B, H, S, D): (B, H, T, D), in v's dtype.

    The values of a query are never gathered, and half precision adds up in the weights' dtype.
    """
    rows = v.to(weights.dtype).flatten(0, 2)
    bags = flat_indices(indices, v.size(2)).flatten(0, 2)
    out = F.embedding_bag(bags, rows, mode="sum", per_sample_weights=weights.flatten(0, 2))
    return out.view(*weights.shape[:3], -1).to(v.dtype)


def flat_indices(indices: Tensor, keys: int) -> Tensor:
    """Keys of each head (B, H, T, r) -> rows of all heads' values, stacked."""
    batch, heads = indices.shape[:2]
    return indices + torch.arange(batch * heads, device=indices.device).view(batch, heads, 1, 1) * keys
