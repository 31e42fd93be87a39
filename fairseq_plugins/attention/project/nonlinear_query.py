"""Queries from a network of the size of the linear map that it replaces (Karbevski 2026, arXiv 2603.13381)."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..activations import ACTIVATIONS
from ..stages import PROJECTION, init_normal
from .identity_query import typed_as_product
from .linear import LinearProjection, init_xavier
from .network import Activation

#: names of norms -> how they are made; both have the paper's eps
NORMS: dict[str, Any] = {
    "rmsnorm": lambda width, bias: nn.RMSNorm(width, eps=1e-5),
    "layernorm": lambda width, bias: nn.LayerNorm(width, eps=1e-5, bias=bias),
    "none": lambda width, bias: nn.Identity(),
}


@dataclass
class NonlinearQueryOptions:
    """Options of ``--attention-projection nonlinear-query``."""

    nonlinear_query_expansion: float = field(
        default=0.5, metadata={"help": "hidden width of the network f of q = (x + f(x)) / 2, in units of x's width"}
    )
    nonlinear_query_input_norm: str = field(
        default="rmsnorm", metadata={"help": "norm of what f reads", "choices": tuple(NORMS)}
    )
    nonlinear_query_output_norm: str = field(
        default="layernorm", metadata={"help": "norm of what f returns", "choices": tuple(NORMS)}
    )
    nonlinear_query_activation: str = field(
        default="gelu", metadata={"help": "activation of f's hidden layer", "choices": tuple(ACTIVATIONS)}
    )
    nonlinear_query_no_bias: bool = field(
        default=False,
        metadata={"help": "f has no biases, as in the paper's model, which has none anywhere; others here keep theirs"},
    )


@PROJECTION.register("nonlinear-query")
class NonlinearQuery(LinearProjection):
    """``q = (x + f(x)) / 2``, ``f(x) = LayerNorm(W2 gelu(W1 RMSNorm(x)))``; k, v and out are linear.

    With f half as wide as x its matrices have ``d^2`` parameters, as the linear map that it replaces. The released code
    has biases in f's linear maps and LayerNorm only if the whole model has them; fairseq's models do.

    Initialisation: f's linear maps are drawn from N(0, 0.02^2) with zero biases, as in the released code, or by
    ``xavier`` as fairseq draws attention's; norms begin as 1. ``linear`` is the same as ``paper``: f cannot be a linear
    map, and where it ends in a norm its size does not depend on how its last layer begins.

    Raises:
        ValueError: an option has no meaning; the message names it.
    """

    Options = NonlinearQueryOptions
    query_holds_input = True

    def __init__(self, options: NonlinearQueryOptions, init: str) -> None:
        super().__init__(options, init)
        if not options.nonlinear_query_expansion > 0:
            raise ValueError(f"--nonlinear-query-expansion {options.nonlinear_query_expansion}: must be positive")

    def build(self, role: str, in_features: int, out_features: int) -> nn.Module:
        if role != "q":
            return super().build(role, in_features, out_features)
        return QueryNetwork(
            in_features, max(1, round(self.options.nonlinear_query_expansion * in_features)), self.options
        )

    def reset_parameters(self, role: str, module: nn.Module, same_width: bool) -> None:
        if not isinstance(module, QueryNetwork):
            super().reset_parameters(role, module, same_width)
            return
        for linear in (module.linear_in, module.linear_out):
            if self.init == "xavier":
                init_xavier(role, linear, same_width)
            else:
                init_normal(linear)


class QueryNetwork(nn.Module):
    """``(x + f(x)) / 2`` of x (..., d): see :class:`NonlinearQuery`."""

    def __init__(self, width: int, hidden: int, options: NonlinearQueryOptions) -> None:
        super().__init__()
        bias = not options.nonlinear_query_no_bias
        self.norm_in = NORMS[str(options.nonlinear_query_input_norm)](width, bias)
        self.linear_in = nn.Linear(width, hidden, bias=bias)
        self.activation = Activation(str(options.nonlinear_query_activation))
        self.linear_out = nn.Linear(hidden, width, bias=bias)
        self.norm_out = NORMS[str(options.nonlinear_query_output_norm)](width, bias)

    def forward(self, x: Tensor) -> Tensor:
        found = self.norm_out(self.linear_out(self.activation(self.linear_in(self.norm_in(x)))))
        return typed_as_product((x + found) / 2)

    def output_maps(self) -> list[nn.Linear]:
        """The linear map whose rows are a head's own."""
        return [self.linear_out]
