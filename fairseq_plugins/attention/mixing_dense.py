"""Dense mixing (Vaswani et al. 2017, equation 1): every allowed key's value, weighted."""

from __future__ import annotations

from typing import Callable, Tuple

import torch
from torch import Tensor

from .masks import AttentionMask
from .stages import MIXING, Mixing


@MIXING.register("dense")
class DenseMixing(Mixing):
    """``o = sum_i alpha_i v_i``."""

    uses_all_keys = True

    def mix(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> Tuple[Tensor, Tensor]:
        return torch.matmul(dropout(weights.to(v.dtype)), v), weights
