"""Symmetric dot product: keys are queries (Courtois et al., Findings of ACL 2024, arXiv 2406.06366)."""

from __future__ import annotations

from ..stages import COMPATIBILITY
from .dot import DotProduct


@COMPATIBILITY.register("symmetric")
class Symmetric(DotProduct):
    """``score = <q(x), q(y)> / sqrt(D)``: one projection, its bias included, makes the queries and the keys."""

    shares_query_projection = True
