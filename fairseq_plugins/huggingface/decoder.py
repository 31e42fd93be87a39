"""The decoder of translation models and causal language models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_plugins.attention import CAUSAL

from .cache import StagedCache
from .configuration import SYMBOLS
from .encoder import batch_first
from .layers import DecoderLayer, left_out, placed
from .positions import Text, build_positions
from .stack import Stack


@dataclass
class Decoded:
    """What a decoder computes.

    Attributes:
        features: (B, T, width of the output layer's input).
        hidden_states: what every layer reads, and what the last one returns; (B, T, C) each.
        attentions, cross_attentions: the weights of all layers, (B, H, T, S) each, or None.
    """

    features: Tensor
    hidden_states: tuple[Tensor, ...]
    attentions: tuple[Tensor, ...] | None
    cross_attentions: tuple[Tensor, ...] | None


class Decoder(nn.Module):
    """fairseq's ``TransformerDecoder``: embeddings, layers and output layer.

    Args:
        stack: of the decoder.
        vocabulary: rows of the token embeddings and of the output layer.
        input_width, output_width: of these rows.
        starts_with_bos: for the ``</s>`` at the start of its input the decoder reads ``<s>``.
        output_bias: the output layer has a bias.
    """

    def __init__(
        self,
        stack: Stack,
        vocabulary: int,
        input_width: int,
        output_width: int,
        starts_with_bos: bool = False,
        output_bias: bool = False,
    ) -> None:
        super().__init__()
        width = stack.width
        self.stack, self.starts_with_bos = stack, starts_with_bos
        self.embed_tokens: nn.Module = nn.Embedding(vocabulary, input_width, 1)
        self.project_in_dim = None if input_width == width else nn.Linear(input_width, width, bias=False)
        self.embed_positions = build_positions(stack)
        self.layernorm_embedding = nn.LayerNorm(width) if stack.layernorm_embedding else None
        self.layers = placed([DecoderLayer(stack, number) for number in range(stack.layers)])
        self.layer_norm = nn.LayerNorm(width) if stack.final_norm else None
        self.project_out_dim = None if output_width == width else nn.Linear(width, output_width, bias=False)
        self.output_projection: nn.Module = nn.Linear(output_width, vocabulary, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary), requires_grad=False) if output_bias else None

    def forward(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        memory: Tensor | None = None,
        memory_padding: Tensor | None = None,
        past: StagedCache | None = None,
        weights: bool = False,
    ) -> Decoded:
        """Decode; with a ``past`` the positions go on from it and are kept in it.

        Args:
            input_ids: (B, T), or instead
            inputs_embeds: (B, T, C), before they are scaled.
            attention_mask: (B, past + T), 1 = text.
            memory, memory_padding: (B, S, C') and (B, S), True = pad.
            weights: return the weights of attention, too.
        """
        if input_ids is not None and self.starts_with_bos:
            input_ids = input_ids.masked_fill(input_ids.eq(SYMBOLS["eos_token_id"]), SYMBOLS["bos_token_id"])
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        before = 0 if past is None else past.seen
        text = Text(input_ids, attention_mask, (x.size(0), x.size(1)), x.device, before)
        x = x * self.stack.embed_scale
        if self.project_in_dim is not None:
            x = self.project_in_dim(x)
        if self.embed_positions is not None:
            x = x + self.embed_positions(text.positions).to(x.dtype)
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        x = F.dropout(x, self.stack.dropout, self.training).transpose(0, 1)
        memory = None if memory is None else memory.transpose(0, 1)

        states, attentions, crossed = [x.transpose(0, 1)], [], []
        for layer in self.layers:
            if not left_out(layer, self.stack.layerdrop):
                x, own, cross = layer(x, text.padding, memory, memory_padding, CAUSAL, weights, past=past)
                attentions.append(own)
                crossed.append(cross)
            states.append(x.transpose(0, 1))
        if past is not None:
            past.seen += x.size(0)
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        states[-1] = x = x.transpose(0, 1)
        if self.project_out_dim is not None:
            x = self.project_out_dim(x)
        return Decoded(
            features=x,
            hidden_states=tuple(states),
            attentions=batch_first(attentions) if weights else None,
            cross_attentions=batch_first(crossed) if weights and memory is not None else None,
        )

    def logits(self, features: Tensor) -> Tensor:
        """(..., width) -> (..., vocabulary)."""
        found: Any = self.output_projection(features)
        return found if self.output_bias is None else found + self.output_bias
