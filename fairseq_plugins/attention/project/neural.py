"""Neural QKV: queries, keys, values and output from a small network (Zhang 2023, arXiv 2310.11398).

The two experiments of the paper use two shapes (its released code):

- ``marian``:  q, k and out are ``Linear(d, 2d) -> LayerNorm(2d) -> ReLU -> Linear(2d, d)``; v stays linear.
- ``roberta``: q, k and v are ``Linear(d, 2d) -> ReLU -> Linear(2d, d)``; out stays linear.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..activations import ACTIVATIONS
from ..stages import PROJECTION, init_normal
from .linear import LinearProjection, init_xavier

SHAPES = {
    "marian": {"projections": "q,k,out", "norm": "layernorm"},
    "roberta": {"projections": "q,k,v", "norm": "none"},
}
ROLES = ("q", "k", "v", "out")


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


class Activation(nn.Module):
    """One of fairseq's activation functions as a module, which may write over its input: its caller keeps none."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        # neither a linear map nor a norm needs its output to be differentiated
        self.function = torch.relu_ if name == "relu" else ACTIVATIONS[name]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.name


@PROJECTION.register("neural")
class NeuralProjection(LinearProjection):
    """A two-layer network where the options say so, a linear map elsewhere.

    Parameter names are the authors' (``q_proj.0.weight``, ...). Initialisation: ``paper`` and ``normal`` draw the
    linears of the networks from N(0, 0.02^2) with zero bias, ``xavier`` from fairseq's attention initialisation.

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
        layers: list[nn.Module] = [nn.Linear(in_features, hidden)]
        if self.norm == "layernorm":
            layers.append(nn.LayerNorm(hidden))
        layers += [Activation(self.options.neural_qkv_activation), nn.Linear(hidden, out_features)]
        return nn.Sequential(*layers)

    def reset_parameters(self, role: str, module: nn.Module, same_width: bool) -> None:
        if role not in self.roles:
            super().reset_parameters(role, module, same_width)
            return
        for layer in module.children():
            if isinstance(layer, nn.Linear):
                if self.init == "xavier":
                    init_xavier(role, layer, same_width)
                else:
                    init_normal(layer)


def parse_roles(text: str) -> frozenset[str]:
    """``"q,k,out"`` -> the set of roles."""
    roles = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not roles or not roles <= set(ROLES):
        raise ValueError(f"--neural-qkv-projections {text}: a comma-separated set of {', '.join(ROLES)}")
    return roles
