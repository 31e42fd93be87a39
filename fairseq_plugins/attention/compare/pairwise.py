"""Pairwise dot product: a learned bilinear form on one shared projection.

Courtois et al., Findings of ACL 2024, arXiv 2406.06366; the parameter has the name of the released code.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..stages import COMPATIBILITY, Compatibility

PAIRWISE_INITS = ("normal", "identity", "scaled")


@dataclass
class PairwiseOptions:
    """Options of ``--attention-compatibility pairwise``."""

    attention_pairwise_init: str = field(
        default="normal",
        metadata={
            "help": "initialisation of the pairwise factors S: normal, N(0, 1), the paper's; identity, which begins as "
            "symmetric attention; scaled, N(0, 1/D), which keeps the size of the scores",
            "choices": PAIRWISE_INITS,
        },
    )


@COMPATIBILITY.register("pairwise")
class Pairwise(Compatibility):
    """``score = q(x) S q(y)^T / sqrt(D)`` with one D x D matrix S a head, neither constrained symmetric nor biased.

    S multiplies the queries before the kernel, so that the scores cost no more than plain dot products.
    """

    Options = PairwiseOptions
    shares_query_projection = True

    def __init__(self, num_heads: int, head_dim: int, options: Any) -> None:
        super().__init__(num_heads, head_dim, options)
        self.init = str(options.attention_pairwise_init)
        self.pairwise_factors = nn.Parameter(torch.empty(num_heads, head_dim, head_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw S anew."""
        head_dim = self.pairwise_factors.size(-1)
        if self.init == "identity":
            with torch.no_grad():
                self.pairwise_factors.copy_(torch.eye(head_dim).expand_as(self.pairwise_factors))
        else:
            nn.init.normal_(self.pairwise_factors, std=1.0 if self.init == "normal" else head_dim**-0.5)

    def fold(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return torch.einsum("bhtd,hde->bhte", q, self.pairwise_factors), k
