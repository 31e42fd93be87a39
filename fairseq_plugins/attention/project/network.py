"""The network in place of a linear map (neural QKV, Zhang 2023, arXiv 2310.11398), and how it begins as one.

With ``phi(z) - phi(-z) = z``, which holds for ReLU, GELU and SiLU, ``W1 = [W; -W]``, ``b1 = [b; -b]``,
``W2 = [I, -I]``, ``b2 = 0`` compute ``W x + b`` exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..activations import ACTIVATIONS


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


class ProjectionNetwork(nn.Sequential):
    """``Linear(d, h) -> [LayerNorm(h)] -> activation -> Linear(h, n)``; its parameters have the authors' names."""

    def __init__(self, in_features: int, hidden: int, out_features: int, norm: str, activation: str) -> None:
        layers: list[nn.Module] = [nn.Linear(in_features, hidden)]
        if norm == "layernorm":
            layers.append(nn.LayerNorm(hidden))
        super().__init__(*layers, Activation(activation), nn.Linear(hidden, out_features))

    def linears(self) -> list[nn.Linear]:
        """Its two linear maps, from the input to the output."""
        return [layer for layer in self.children() if isinstance(layer, nn.Linear)]

    def input_maps(self) -> list[nn.Linear]:
        """The linear maps that read the input."""
        return self.linears()[:1]

    def output_maps(self) -> list[nn.Linear]:
        """The linear maps whose outputs, added up, are the output."""
        return self.linears()[1:]

    def norm(self) -> nn.LayerNorm | None:
        """That of the hidden layer."""
        return next((layer for layer in self.children() if isinstance(layer, nn.LayerNorm)), None)

    def why_not_exact(self) -> str:
        """Why it cannot begin as a linear map; empty if it can."""
        return "it normalises its hidden layer (the marian shape)" if self.norm() else self.why_not_linear()

    def why_not_linear(self) -> str:
        """Why it cannot begin as a linear map, not even as one whose output its norm scales; empty if it can."""
        first, last = self.linears()
        if first.out_features < 2 * last.out_features:
            return f"its hidden layer has {first.out_features} units, fewer than twice its width {last.out_features}"
        activation = next(layer for layer in self.children() if isinstance(layer, Activation))
        points = torch.linspace(-6, 6, 49, device="cpu")  # whatever the default device is
        if not torch.allclose(activation(points.clone()) - activation(-points), points, atol=1e-5):
            return f"its activation {activation.name} is no phi with phi(z) - phi(-z) = z, as relu, gelu and swish are"
        return ""

    def begun_as(self) -> tuple[Tensor, Tensor]:
        """Weight (n, d) and bias (n) of the linear map that :meth:`begin_as` was given, if nothing changed since."""
        first, last = self.linears()
        return first.weight[: last.out_features], first.bias[: last.out_features]

    @torch.no_grad()
    def begin_as(self, weight: Tensor, bias: Tensor, norm_gain: float = 1.0) -> None:
        """Take the parameters that compute ``z = weight x + bias``, in place.

        Hidden units beyond twice the output's width keep their first layer and have no effect on the output. With a
        norm the output is z at a fixed size, ``gain * z / RMS(hidden layer)``: the gain is the RMS that the hidden
        layer has where the elements of x are independent with variance 1, times ``norm_gain``.

        Args:
            weight, bias: (n, d) and (n).
        """
        first, last = self.linears()
        width, norm = last.out_features, self.norm()
        for matrix, sign in ((first.weight, weight.clone()), (first.bias, bias.clone())):
            matrix[:width] = sign
            matrix[width : 2 * width] = -sign
        last.weight.zero_()
        last.weight[:, :width].fill_diagonal_(1)
        last.weight[:, width : 2 * width].fill_diagonal_(-1)
        last.bias.zero_()
        if norm is not None:
            norm.weight.copy_(norm_gain * (first.weight.square().sum() / first.out_features).sqrt())
            norm.bias.zero_()


class ResidualNetwork(nn.Module):
    """``W x + b + network(x)``: a linear map and what a :class:`ProjectionNetwork` adds to it, at first nothing."""

    def __init__(self, in_features: int, hidden: int, out_features: int, norm: str, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.network = ProjectionNetwork(in_features, hidden, out_features, norm, activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x) + self.network(x)
        return out

    def linears(self) -> list[nn.Linear]:
        """All its linear maps."""
        return [self.linear, *self.network.linears()]

    def input_maps(self) -> list[nn.Linear]:
        """The linear maps that read the input."""
        return [self.linear, *self.network.input_maps()]

    def output_maps(self) -> list[nn.Linear]:
        """The linear maps whose outputs, added up, are the output."""
        return [self.linear, *self.network.output_maps()]

    def why_not_exact(self) -> str:
        """Empty: whatever its network is, it can begin as a linear map."""
        return ""

    why_not_linear = why_not_exact

    def begun_as(self) -> tuple[Tensor, Tensor]:
        """Weight (n, d) and bias (n) of its linear map."""
        return self.linear.weight, self.linear.bias

    @torch.no_grad()
    def begin_as(self, weight: Tensor, bias: Tensor, norm_gain: float = 1.0) -> None:
        """Take the parameters that compute ``weight x + bias``, in place; the network adds 0."""
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)
        last = self.network.linears()[-1]
        last.weight.zero_()
        last.bias.zero_()


NETWORKS = (ProjectionNetwork, ResidualNetwork)


def add_noise(network: Any, relative: float, generator: torch.Generator) -> float:
    """Break the antisymmetry of the hidden units of a network that begins as a linear map, in place.

    Adds N(0, (relative * RMS(W))^2) to each weight of its matrices; the last one of a residual network, 0, stays 0.

    Returns:
        The RMS change of the output on N(0, 1) inputs, as a share of the output's RMS.
    """
    linears = network.linears()
    first = linears[0]
    inputs = torch.randn(256, first.in_features, generator=generator, dtype=torch.float64).to(first.weight.dtype)
    with torch.no_grad():
        before = network(inputs)
        for linear in linears:
            matrix = linear.weight
            size = relative * rms(matrix)
            matrix += size * torch.randn(matrix.shape, generator=generator, dtype=torch.float64).to(matrix.dtype)
        change = network(inputs) - before
    return float(rms(change) / rms(before))


def rms(values: Tensor) -> Tensor:
    """Root of the mean square."""
    return values.square().mean().sqrt()


@contextmanager
def aside() -> Iterator[None]:
    """What is drawn inside leaves torch's generator as it was, and is none of what it draws next."""
    state = torch.random.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(state.numpy().tobytes()).digest()[:8], "big") >> 1)
        yield
