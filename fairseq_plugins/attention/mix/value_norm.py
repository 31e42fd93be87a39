"""Sparse mixing by weights and norms of values, as a cache of keys and values is pruned.

Guo, Kamigaito and Watanabe, *Attention Score is not All You Need for Token Importance Indicator in KV Cache Reduction:
Value Also Matters*, EMNLP 2024, arXiv 2406.12335, figure 2: a token's importance is its attention times the L1 norm of
its value. There the attention of many queries is added up; here each query chooses for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..stages import MIXING
from .sparse import SparseOptions
from .top_r import TopR

#: the norms of a value that a choice of keys may rest on
NORMS = (1, 2)


@dataclass
class ValueNormOptions(SparseOptions):
    """Options of ``--attention-mixing value-norm-r``."""

    attention_value_norm: str = field(
        default="1",
        metadata={
            "help": "value-norm: keys are kept by weight times this norm of their value, 1 (sum of absolute values, "
            "the paper's) or 2 (Euclidean length)",
            "choices": tuple(map(str, NORMS)),
        },
    )


@MIXING.register("value-norm-r")
class ValueNorm(TopR):
    """``o = sum_{i in K} alpha_i v_i / sum_{i in K} alpha_i`` over the set K of the r largest ``alpha_i ||v_i||``.

    Equal ones are told apart as by ``top-r``. Gradients are those of the kept weights and values; none goes through the
    norms, which only choose.
    """

    Options = ValueNormOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.norm = int(options.attention_value_norm)

    def sizes(self, v: Tensor) -> Tensor:
        return value_sizes(v, self.norm)


def value_sizes(v: Tensor, norm: int) -> Tensor:
    """The norms of v (..., S, D), as means over D, as factors for weights (..., T, S): (..., 1, S), at least float32.

    A norm of 0 becomes the root of the least number: still, a key with a weight comes before those without.
    """
    dtype = torch.promote_types(v.dtype, torch.float32)
    lengths: Tensor = torch.linalg.vector_norm(v.detach(), norm, dim=-1, dtype=dtype)
    lengths = lengths * v.size(-1) ** (-1 / norm)  # near 1, so that its logarithm costs scores no digits
    return lengths.clamp(min=torch.finfo(dtype).tiny ** 0.5).unsqueeze(-2)
