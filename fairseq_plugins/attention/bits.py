"""Masks of dropout for the backward pass, eight elements a byte."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def pack(mask: Tensor) -> Tensor:
    """uint8 (n,), 0 or not, on a CPU -> uint8 (n / 8, rounded up)."""
    return torch.from_numpy(np.packbits(mask.numpy()))


def unpack(bits: Tensor, size: int) -> Tensor:
    """What :func:`pack` made of ``size`` elements -> uint8 (size,), 0 or 1."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=size))
