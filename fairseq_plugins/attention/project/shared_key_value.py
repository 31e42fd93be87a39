"""Keys and values share one projection (Kayyam, Madan Gopal and Lewis, ICML 2026, arXiv 2606.04032)."""

from __future__ import annotations

from typing import ClassVar

from ..stages import PROJECTION
from .linear import LinearProjection


@PROJECTION.register("shared-key-value")
class SharedKeyValue(LinearProjection):
    """``q = x W_q``, ``k = v = y W_k`` ("Q-K=V" in the paper): decoding keeps them once.

    In cross-attention y is the memory, which ``W_k`` alone reads.
    """

    shares: ClassVar[dict[str, str]] = {"v": "k"}
