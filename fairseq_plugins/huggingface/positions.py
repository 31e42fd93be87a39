"""Where words stand, as fairseq counts it, and the embeddings of positions.

B sentences, T positions of each, C width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration import SYMBOLS
from .stack import Stack

PAD = SYMBOLS["pad_token_id"]


class Text:
    """Which of some symbols are text, and where they stand.

    Args:
        input_ids: (B, T), or None where embeddings are given instead.
        attention_mask: (B, past + T), 1 = text; without it whatever is not ``<pad>`` is text.
        past: positions that were read before.
        shape: B and T.

    Attributes:
        keep: (B, T), True = text.
        positions: (B, T); a sentence's first word is at ``PAD + 1``, padding at ``PAD``.
        padding: (B, T), True = pad, or None where nothing can be.
    """

    def __init__(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        shape: tuple[int, int],
        device: torch.device,
        past: int = 0,
    ) -> None:
        batch, time = shape
        self.padding: Tensor | None
        if attention_mask is not None:
            whole = attention_mask.bool()
            if whole.shape != (batch, past + time):
                raise ValueError(f"attention_mask is {tuple(whole.shape)}, expected {(batch, past + time)}")
        elif input_ids is not None and not past:
            whole = input_ids.ne(PAD)
        else:
            whole = torch.ones(batch, past + time, dtype=torch.bool, device=device)
        self.keep = whole[:, past:]
        self.positions = ((whole.cumsum(dim=1) * whole) + PAD)[:, past:]
        self.padding = None if attention_mask is None and past else ~self.keep


class LearnedPositions(nn.Embedding):
    """fairseq's ``LearnedPositionalEmbedding``: rows for ``PAD + 1`` positions more than a sentence may have."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack.max_positions + PAD + 1, stack.width, PAD)


class SinusoidalPositions(nn.Module):
    """fairseq's ``SinusoidalPositionalEmbedding``, or Marian's; it has no table, and no end.

    Args:
        width: C.
        marian: frequencies ``10000^(-2i/C)`` and a first position 0, not ``10000^(-i/(C/2-1))`` and ``PAD + 1``.
    """

    def __init__(self, width: int, marian: bool) -> None:
        super().__init__()
        self.width, self.marian = width, marian

    def forward(self, positions: Tensor) -> Tensor:
        """(B, T) -> (B, T, C), computed in float32 as fairseq's tables are; 0 at padding."""
        half = self.width // 2
        if self.marian:
            number = 2 * torch.arange((self.width + 1) // 2, device=positions.device, dtype=torch.float64)
            angles = (positions - PAD - 1).unsqueeze(-1) / torch.pow(10000, number / self.width)
            table = torch.cat([angles.sin(), angles[..., :half].cos()], dim=-1).float()
        else:
            frequencies = torch.arange(half, device=positions.device, dtype=torch.float32)
            frequencies = torch.exp(frequencies * -(math.log(10000) / (half - 1)))
            angles = positions.unsqueeze(-1).float() * frequencies
            table = F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, self.width % 2))
        return table.masked_fill(positions.eq(PAD).unsqueeze(-1), 0.0)


def build_positions(stack: Stack) -> nn.Module | None:
    """The embeddings of positions of an encoder or decoder."""
    if not stack.positions:
        return None
    if stack.positions == "learned":
        return LearnedPositions(stack)
    return SinusoidalPositions(stack.width, stack.positions == "marian")
