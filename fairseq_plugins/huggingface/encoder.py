"""The encoder of masked language models and translation models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from .layers import EncoderLayer, left_out, placed
from .positions import Text, build_positions
from .stack import Stack


@dataclass
class EncoderOutput(BaseModelOutput):
    """``BaseModelOutput``, and which positions are padding (B, T): a search hands no more than this to the decoder."""

    padding: Tensor | None = None


class Encoder(nn.Module):
    """fairseq's ``TransformerEncoder``: embeddings and layers.

    Args:
        stack: of the encoder.
        vocabulary: rows of the token embeddings.
    """

    main_input_name = "input_ids"

    def __init__(self, stack: Stack, vocabulary: int) -> None:
        super().__init__()
        self.stack = stack
        self.embed_tokens: nn.Module = nn.Embedding(vocabulary, stack.width, 1)
        self.embed_positions = build_positions(stack)
        self.layernorm_embedding = nn.LayerNorm(stack.width) if stack.layernorm_embedding else None
        self.layers = placed([EncoderLayer(stack) for _ in range(stack.layers)])
        self.layer_norm = nn.LayerNorm(stack.width) if stack.final_norm else None

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Encode.

        Args:
            input_ids: (B, T), or instead
            inputs_embeds: (B, T, C), before they are scaled.
            attention_mask: (B, T), 1 = text; without it whatever is not ``<pad>`` is text.
            output_attentions: return the weights of all layers, (B, H, T, T) each, too.
            output_hidden_states: return what every layer reads, and what the last one returns, too.
            return_dict: False for a tuple.

        Returns:
            :class:`EncoderOutput`, whose ``last_hidden_state`` is (B, T, C).
        """
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        text = Text(input_ids, attention_mask, (x.size(0), x.size(1)), x.device)
        x = x * self.stack.embed_scale
        if self.embed_positions is not None:
            x = x + self.embed_positions(text.positions).to(x.dtype)
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        x = F.dropout(x, self.stack.dropout, self.training)
        x = (x * text.keep.unsqueeze(-1).to(x.dtype)).transpose(0, 1)
        states, weights = [x.transpose(0, 1)], []
        for layer in self.layers:
            if not left_out(layer, self.stack.layerdrop):
                x, attended = layer(x, text.padding, bool(output_attentions))
                weights.append(attended)
            states.append(x.transpose(0, 1))
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        states[-1] = x = x.transpose(0, 1)
        found = EncoderOutput(
            last_hidden_state=x,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=batch_first(weights) if output_attentions else None,
            padding=text.padding,
        )
        return found if return_dict is not False else found.to_tuple()


def batch_first(weights: Any) -> tuple[Tensor, ...]:
    """The weights of layers, (H, B, T, S) each, as (B, H, T, S)."""
    return tuple(of_layer.transpose(0, 1) for of_layer in weights)
