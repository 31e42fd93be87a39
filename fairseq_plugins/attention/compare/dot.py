"""Scaled dot product (Vaswani et al. 2017, equation 1)."""

from __future__ import annotations

from typing import Tuple

from torch import Tensor

from ..stages import COMPATIBILITY, Compatibility


@COMPATIBILITY.register("dot")
class DotProduct(Compatibility):
    """``score = <q, k> / sqrt(D)``."""

    def fold(self, q: Tensor, k: Tensor) -> Tuple[Tensor, Tensor]:
        return q, k
