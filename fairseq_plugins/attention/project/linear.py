"""Linear projections, as in the Transformer (Vaswani et al. 2017, section 3.2.2)."""

from __future__ import annotations

import math

from torch import nn

from ..stages import PROJECTION, Projection, init_normal


def init_xavier(role: str, linear: nn.Linear, same_width: bool) -> None:
    """fairseq's own: Xavier-uniform, gain 1/sqrt(2) for q, k and v of equal width; only the output's bias is zeroed."""
    nn.init.xavier_uniform_(linear.weight, gain=1 / math.sqrt(2) if same_width and role != "out" else 1.0)
    if role == "out":
        nn.init.zeros_(linear.bias)


@PROJECTION.register("linear")
class LinearProjection(Projection):
    """``x W^T + b``. Initialisation: ``normal`` is N(0, 0.02^2), all others are fairseq's own."""

    def build(self, role: str, in_features: int, out_features: int) -> nn.Module:
        return nn.Linear(in_features, out_features)

    def reset_parameters(self, role: str, module: nn.Module, same_width: bool) -> None:
        assert isinstance(module, nn.Linear)
        if self.init == "normal":
            init_normal(module)
        else:
            init_xavier(role, module, same_width)
