"""Dense mixing (Vaswani et al. 2017, equation 1): every allowed key's value, weighted."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..groups import grouped_product
from ..masks import AttentionMask
from ..stages import MIXING, Dropout, DropoutMasks, Kernel, Mixing, dropped_share


@MIXING.register("dense")
class DenseMixing(Mixing):
    """``o = sum_i alpha_i v_i``."""

    uses_all_keys = True
    takes_groups = True

    def attend(
        self, kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout: Dropout, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        if not need_weights:
            keep = dropout_masks(dropout, q, k)
            if keep is not None:
                out = kernel.fused_with_dropout(q, k, v, mask, keep)
            else:
                out = kernel.fused(q, k, v, mask, dropped_share(dropout))
            if out is not None:
                return out, None
        return super().attend(kernel, q, k, v, mask, dropout, need_weights)

    def mix(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        return grouped_product(dropout(weights.to(v.dtype)), v), weights


def dropout_masks(dropout: Dropout, q: Tensor, k: Tensor) -> DropoutMasks | None:
    """Masks for the weights of q (B, H, T, D) and k (B, H, S, D) that a kernel draws block by block, if it should.

    It should where a query has more weights than a head is wide: fewer take less memory than its values do.
    """
    draw: Callable[[Tensor, int], DropoutMasks | None] | None = getattr(dropout, "masks", None)
    if draw is None or k.size(2) <= q.size(3):
        return None
    return draw(q, q.numel() // q.size(3) * k.size(2))
