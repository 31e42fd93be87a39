"""Queries, keys and values share one projection (Kayyam, Madan Gopal and Lewis, ICML 2026, arXiv 2606.04032)."""

from __future__ import annotations

from typing import ClassVar

from ..stages import PROJECTION
from .linear import LinearProjection


@PROJECTION.register("shared")
class Shared(LinearProjection):
    """``q = x W``, ``k = v = y W`` ("Q=K=V" in the paper): decoding keeps keys and values once.

    In cross-attention the one map reads both sides, which must be equally wide.
    """

    shares: ClassVar[dict[str, str]] = {"k": "q", "v": "q"}
