"""Encoder and decoder layers over staged attention, with fairseq's names for parameters. Time comes first inside.

T positions, B batch, C width of the model, S positions of what a decoder attends to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.activations import ACTIVATIONS

from .cache import StagedCache
from .stack import Stack


class Layer(GradientCheckpointingLayer):
    """The parts that every layer has: self-attention, a feed-forward network, norms before or after them."""

    def __init__(self, stack: Stack, site: str) -> None:
        super().__init__()
        self.normalize_before, self.activation = stack.normalize_before, activation(stack.activation)
        self.dropout, self.activation_dropout = stack.dropout, stack.activation_dropout
        self.self_attn = stack.attention.build(
            site, stack.width, stack.heads, dropout=stack.attention_dropout, self_attention=True
        )
        self.self_attn_layer_norm = nn.LayerNorm(stack.width)
        self.fc1 = nn.Linear(stack.width, stack.ffn_width)
        self.fc2 = nn.Linear(stack.ffn_width, stack.width)
        self.final_layer_norm = nn.LayerNorm(stack.width)

    def place(self, number: int, layers: int) -> None:
        """Told once it is built: this is layer ``number`` of ``layers``, from 0."""
        for module in self.modules():
            if isinstance(module, StagedMultiheadAttention):
                module.mixing.place(number, layers)

    def before(self, x: Tensor, norm: nn.Module) -> Tensor:
        """What a sublayer reads."""
        return norm(x) if self.normalize_before else x

    def after(self, x: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """A sublayer's output with what it read."""
        x = residual + F.dropout(x, self.dropout, self.training)
        return x if self.normalize_before else norm(x)

    def feed_forward(self, x: Tensor) -> Tensor:
        """The last sublayer."""
        hidden = self.activation(self.fc1(self.before(x, self.final_layer_norm)))
        hidden = F.dropout(hidden, self.activation_dropout, self.training)
        return self.after(self.fc2(hidden), x, self.final_layer_norm)


class EncoderLayer(Layer):
    """fairseq's ``TransformerEncoderLayer``."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack, "encoder")

    def forward(self, x: Tensor, padding: Tensor, weights: bool) -> tuple[Tensor, Tensor | None]:
        """x (T, B, C), padding (B, T), and whether the weights of each head (H, B, T, T) are wanted, too."""
        read = self.before(x, self.self_attn_layer_norm)
        out, attended = self.self_attn(read, read, read, padding, need_weights=False, need_head_weights=weights)
        return self.feed_forward(self.after(out, x, self.self_attn_layer_norm)), attended


class DecoderLayer(Layer):
    """fairseq's ``TransformerDecoderLayer``; without cross-attention where there is no memory."""

    def __init__(self, stack: Stack, number: int) -> None:
        super().__init__(stack, "decoder")
        self.number = number
        self.encoder_attn: Any = None
        self.encoder_attn_layer_norm: Any = None
        if stack.memory_width:
            self.encoder_attn = stack.attention.build(
                "cross",
                stack.width,
                stack.heads,
                dropout=stack.attention_dropout,
                kdim=stack.memory_width,
                vdim=stack.memory_width,
                encoder_decoder_attention=True,
            )
            self.encoder_attn_layer_norm = nn.LayerNorm(stack.width)

    def forward(
        self,
        x: Tensor,
        padding: Tensor | None,
        memory: Tensor | None,
        memory_padding: Tensor | None,
        mask: Any,
        weights: bool,
        past: StagedCache | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Decode.

        Args:
            x: (T, B, C).
            padding: (B, T), or None for none.
            memory, memory_padding: (S, B, C') and (B, S).
            mask: of self-attention, as staged attention takes it.
            weights: whether the weights of each head are wanted, too.
            past: to go on from, and to keep these positions in.

        Returns:
            (T, B, C), the weights of self-attention (H, B, T, S') and of cross-attention (H, B, T, S), or None.
        """
        read = self.before(x, self.self_attn_layer_norm)
        buffer = None if past is None else past.buffer("decoder", self.number)
        out, attended = self.self_attn(
            read, read, read, padding, buffer, need_weights=False, attn_mask=mask, need_head_weights=weights
        )
        x = self.after(out, x, self.self_attn_layer_norm)
        crossed = None
        if self.encoder_attn is not None:
            read = self.before(x, self.encoder_attn_layer_norm)
            buffer = None if past is None else past.buffer("cross", self.number)
            out, crossed = self.encoder_attn(
                read,
                memory,
                memory,
                memory_padding,
                buffer,
                need_weights=False,
                static_kv=past is not None,
                need_head_weights=weights,
            )
            x = self.after(out, x, self.encoder_attn_layer_norm)
        return self.feed_forward(x), attended, crossed


def activation(name: str) -> Any:
    """fairseq's activation function of that name.

    Raises:
        ValueError: there is none.
    """
    known = {
        **ACTIVATIONS,
        "gelu": lambda x: F.gelu(x.float()).type_as(x),  # float64, too, as fairseq
        "relu_squared": lambda x: F.relu(x).pow(2),
    }
    if name not in known:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(known)}")
    return known[name]


def placed(layers: Sequence[Layer]) -> nn.ModuleList:
    """The layers of a stack, each of which knows its place."""
    for number, layer in enumerate(layers):
        layer.place(number, len(layers))
    return nn.ModuleList(layers)


def left_out(layer: nn.Module, share: float) -> bool:
    """Whether LayerDrop leaves a layer out of this training step."""
    return layer.training and share > 0 and bool(torch.rand(()) < share)
