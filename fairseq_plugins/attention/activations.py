"""The activation functions that a projection's network may have, by fairseq's names and as fairseq computes them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def gelu(x: Tensor) -> Tensor:
    """``x * Phi(x)``, as fairseq in float32 at least."""
    return F.gelu(x) if x.dtype == torch.float64 else F.gelu(x.float()).type_as(x)


def gelu_accurate(x: Tensor) -> Tensor:
    """The approximation of :func:`gelu` by tanh."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3))))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": gelu,
    "gelu_fast": gelu_accurate,
    "gelu_accurate": gelu_accurate,
    "swish": F.silu,
    "tanh": torch.tanh,
    "linear": lambda x: x,
}
