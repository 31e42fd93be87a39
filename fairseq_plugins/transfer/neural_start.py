"""A projection network that begins as a given linear map (neural QKV, Zhang 2023, arXiv 2310.11398).

With ``phi(z) - phi(-z) = z``, which holds for ReLU, GELU and SiLU, ``W1 = [W; -W]``, ``b1 = [b; -b]``,
``W2 = [I, -I]``, ``b2 = 0`` compute ``W x + b`` exactly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def why_not_exact(network: nn.Module) -> str:
    """Why a network cannot begin as a linear map; empty if it can."""
    layers: Any = list(network.children())
    if any(isinstance(layer, nn.LayerNorm) for layer in layers):
        return "it normalises its hidden layer (the marian shape)"
    if [isinstance(layer, nn.Linear) for layer in layers] != [True, False, True]:
        return "it is no network of two linear layers"
    hidden, width = layers[0].out_features, layers[2].out_features
    if hidden < 2 * width:
        return f"its hidden layer has {hidden} units, fewer than twice its width {width}"
    points = torch.linspace(-6, 6, 49)
    if not torch.allclose(layers[1](points) - layers[1](-points), points, atol=1e-5):
        return f"its activation {layers[1].extra_repr()} is no phi with phi(z) - phi(-z) = z, as relu and gelu are"
    return ""


def begin_as_linear(network: Any, weight: Tensor, bias: Tensor) -> None:
    """Give a network the parameters that compute ``weight x + bias``, in place.

    Hidden units beyond twice the output's width keep their first layer and have no effect on the output.

    Args:
        network: ``Linear(d, h) -> activation -> Linear(h, n)`` for which :func:`why_not_exact` is empty.
        weight, bias: (n, d) and (n).
    """
    first, _, last = network.children()
    width = last.out_features
    with torch.no_grad():
        for linear, sign in ((first.weight, weight), (first.bias, bias)):
            linear[:width] = sign
            linear[width : 2 * width] = -sign
        last.weight.zero_()
        last.weight[:, :width] = torch.eye(width)
        last.weight[:, width : 2 * width] = -torch.eye(width)
        last.bias.zero_()


def add_noise(network: Any, relative: float, generator: torch.Generator) -> float:
    """Break the antisymmetry of :func:`begin_as_linear`'s pairs of hidden units, in place.

    Adds N(0, (relative * RMS(W))^2) to each weight of the two matrices.

    Returns:
        The RMS change of the output on N(0, 1) inputs, as a share of the output's RMS.
    """
    first, _, last = network.children()
    width = first.in_features
    inputs = torch.randn(256, width, generator=generator, dtype=torch.float64).to(first.weight.dtype)
    with torch.no_grad():
        before = network(inputs)
        for matrix in (first.weight, last.weight):
            size = relative * matrix.square().mean().sqrt()
            matrix += size * torch.randn(matrix.shape, generator=generator, dtype=torch.float64).to(matrix.dtype)
        change = network(inputs) - before
    return float(rms(change) / rms(before))


def rms(values: Tensor) -> Tensor:
    """Root of the mean square."""
    return values.square().mean().sqrt()
