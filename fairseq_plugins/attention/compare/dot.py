"""Scaled dot product (Vaswani et al. 2017, equation 1)."""

from __future__ import annotations

from torch import Tensor

from ..stages import COMPATIBILITY, Compatibility


@COMPATIBILITY.register("dot")
class DotProduct(Compatibility):
    """``score = <q, k> / sqrt(D)``."""

    takes_groups = True

    def fold(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return q, k
