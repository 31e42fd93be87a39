"""The input itself as query: its map can be absorbed by its neighbours (Karbevski and Mijoski, arXiv 2510.23912)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..stages import PROJECTION
from .linear import LinearProjection


@PROJECTION.register("identity-query")
class IdentityQuery(LinearProjection):
    """``q = x``, with the scale ``1 / sqrt(D)``; k, v and out are linear (Karbevski 2026, arXiv 2603.13381)."""

    query_makes_keys = False
    query_holds_input = True

    def build(self, role: str, in_features: int, out_features: int) -> nn.Module:
        return Input() if role == "q" else super().build(role, in_features, out_features)

    def reset_parameters(self, role: str, module: nn.Module, same_width: bool) -> None:
        if role != "q":
            super().reset_parameters(role, module, same_width)


class Input(nn.Module):
    """x, in the type that a linear map of it has."""

    def forward(self, x: Tensor) -> Tensor:
        return typed_as_product(x)


def typed_as_product(x: Tensor) -> Tensor:
    """x in the type in which autocast returns matrix products: what attends together needs one."""
    device = x.device.type
    if x.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return x
    return x.to(torch.get_autocast_dtype(device))
