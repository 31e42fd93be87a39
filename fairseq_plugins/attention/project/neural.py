"""Neural QKV: queries, keys, values and output from a small network (Zhang 2023, arXiv 2310.11398).

The two experiments of the paper use two shapes (its released code):

- ``marian``:  q, k and out are ``Linear(d, 2d) -> LayerNorm(2d) -> ReLU -> Linear(2d, d)``; v stays linear.
- ``roberta``: q, k and v are ``Linear(d, 2d) -> ReLU -> Linear(2d, d)``; out stays linear.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.utils import skip_init

from ..activations import ACTIVATIONS
from ..stages import PROJECTION, init_normal
from .linear import LinearProjection, init_xavier
from .network import NETWORKS, ProjectionNetwork, ResidualNetwork, aside

logger = logging.getLogger(__name__)

SHAPES = {
    "marian": {"projections": "q,k,out", "norm": "layernorm"},
    "roberta": {"projections": "q,k,v", "norm": "none"},
}
ROLES = ("q", "k", "v", "out")
#: a norm gives the output of attention this times the size that a projection of x with RMS 1 would have: what attention
#: mixes is smaller than each of its values
OUTPUT_GAIN = 0.3


@dataclass
class NeuralOptions:
    """Options of ``--attention-projection neural``."""

    neural_qkv_shape: str = field(
        default="marian",
        metadata={
            "help": "shape of the paper: marian (q, k, out; LayerNorm) or roberta (q, k, v; no norm)",
            "choices": tuple(SHAPES),
        },
    )
    neural_qkv_projections: str | None = field(
        default=None,
        metadata={"help": "which projections are networks, of q,k,v,out (default: the shape's)"},
    )
    neural_qkv_expansion: float = field(
        default=2.0, metadata={"help": "hidden width of the network, in units of its output width"}
    )
    neural_qkv_norm: str | None = field(
        default=None,
        metadata={"help": "norm of the hidden layer: layernorm or none (default: the shape's)"},
    )
    neural_qkv_activation: str = field(
        default="relu",
        metadata={"help": f"activation of the hidden layer: {', '.join(ACTIVATIONS)}"},
    )
    neural_qkv_residual: bool = field(
        default=False, metadata={"help": "add what the network computes to a linear map of the same input"}
    )


@PROJECTION.register("neural")
class NeuralProjection(LinearProjection):
    """A two-layer network where the options say so, a linear map elsewhere.

    Parameter names are the authors' (``q_proj.0.weight``, ...).

    Initialisation: ``linear`` draws the linear map that would stand in a network's place, number by number as a linear
    model of the same seed does, and the network begins as that map (:meth:`.network.ProjectionNetwork.begin_as`); where
    it cannot, one sentence says so, and its linears are drawn as linear projections are. ``paper`` and ``normal`` draw
    them from N(0, 0.02^2) with zero bias, ``xavier`` from fairseq's attention initialisation.

    Raises:
        ValueError: an option has no meaning; the message names it.
    """

    Options = NeuralOptions

    def __init__(self, options: NeuralOptions, init: str) -> None:
        super().__init__(options, init)
        shape = SHAPES[str(options.neural_qkv_shape)]
        self.roles = parse_roles(options.neural_qkv_projections or shape["projections"])
        self.norm = options.neural_qkv_norm or shape["norm"]
        if self.norm not in ("layernorm", "none"):
            raise ValueError(f"--neural-qkv-norm {self.norm}: choose from layernorm, none")
        if options.neural_qkv_activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"--neural-qkv-activation {options.neural_qkv_activation}: choose from {known}")
        if not options.neural_qkv_expansion > 0:
            raise ValueError(f"--neural-qkv-expansion {options.neural_qkv_expansion}: must be positive")

    def build(self, role: str, in_features: int, out_features: int) -> nn.Module:
        if role not in self.roles:
            return super().build(role, in_features, out_features)
        hidden = max(1, round(self.options.neural_qkv_expansion * out_features))
        made = ResidualNetwork if self.options.neural_qkv_residual else ProjectionNetwork
        sizes = (in_features, hidden, out_features, self.norm, self.options.neural_qkv_activation)
        if self.init != "linear":
            return made(*sizes)
        linear = super().build(role, in_features, out_features)
        assert isinstance(linear, nn.Linear)
        with aside():
            network = made(*sizes)
        if self.begins_as_linear(network):
            network.begin_as(linear.weight, linear.bias)
        return network

    def reset_parameters(self, role: str, module: nn.Module, same_width: bool) -> None:
        if not isinstance(module, NETWORKS):
            super().reset_parameters(role, module, same_width)
        elif self.begins_as_linear(module):
            self.begin(role, module, lambda linear: init_xavier(role, linear, same_width))
        else:
            for layer in module.linears():
                if self.init in ("linear", "xavier"):
                    init_xavier(role, layer, same_width)
                else:
                    init_normal(layer)

    def begins_as_linear(self, module: nn.Module | None) -> bool:
        """Whether a module is a network that is to begin as a linear map, and can; what cannot is said once."""
        if self.init != "linear" or not isinstance(module, NETWORKS):
            return False
        reason = module.why_not_linear()
        if reason:
            say(f"the networks of attention do not begin as linear maps but at random: {reason}")
        return not reason

    def begin(self, role: str, network: Any, draw: Callable[[nn.Linear], None]) -> None:
        """Let a network begin as the linear map that ``draw`` makes of the one as which it began before."""
        weight, bias = network.begun_as()
        rows, columns = weight.shape
        linear: nn.Linear = skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, columns, rows, dtype=weight.dtype, device=weight.device
        )
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        draw(linear)
        network.begin_as(linear.weight, linear.bias, OUTPUT_GAIN if role == "out" else 1.0)


@functools.cache
def say(sentence: str) -> None:
    """Warn of something, once in a process."""
    logger.warning(sentence)


def parse_roles(text: str) -> frozenset[str]:
    """``"q,k,out"`` -> the set of roles."""
    roles = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not roles or not roles <= set(ROLES):
        raise ValueError(f"--neural-qkv-projections {text}: a comma-separated set of {', '.join(ROLES)}")
    return roles
