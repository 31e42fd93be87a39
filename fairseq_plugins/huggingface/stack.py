"""What the layers of an encoder or a decoder are, read from a configuration.

A folder's configuration and its model may come from two copies of this code: a model makes its attention by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fairseq_plugins.attention import AttentionConfig


@dataclass(frozen=True)
class Stack:
    """What the layers of an encoder or a decoder are.

    Attributes:
        width, heads, ffn_width: C, H, and the width of the hidden feed-forward layer.
        final_norm: a norm after the last layer.
        positions: ``learned``, ``fairseq`` or ``marian`` (sinusoidal), or empty for none.
        max_positions: rows of learned positions.
        embed_scale: factor of the token embeddings.
        attention: its choices at every site.
        memory_width: of what a decoder attends to; 0: there is no cross-attention.
    """

    layers: int
    width: int
    heads: int
    ffn_width: int
    activation: str
    normalize_before: bool
    final_norm: bool
    positions: str
    max_positions: int
    embed_scale: float
    layernorm_embedding: bool
    dropout: float
    attention_dropout: float
    activation_dropout: float
    layerdrop: float
    attention: AttentionConfig
    memory_width: int = 0

    @classmethod
    def of(cls, config: Any, side: str, max_positions: int, memory_width: int = 0) -> Stack:
        """The layers of the ``encoder`` or ``decoder`` that a configuration means."""

        def own(name: str) -> Any:
            return getattr(config, f"{side}_{name}")

        kind = "learned" if own("learned_pos") else getattr(config, "sinusoidal_positions", "fairseq")
        return cls(
            layers=own("layers"),
            width=own("embed_dim"),
            heads=own("attention_heads"),
            ffn_width=own("ffn_embed_dim"),
            activation=config.activation_fn,
            normalize_before=own("normalize_before"),
            final_norm=own("normalize_before") and not (side == "decoder" and config.no_decoder_final_norm),
            positions="" if config.no_token_positional_embeddings else kind,
            max_positions=max_positions,
            embed_scale=1.0 if config.no_scale_embedding else math.sqrt(own("embed_dim")),
            layernorm_embedding=config.layernorm_embedding,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            activation_dropout=config.activation_dropout,
            layerdrop=own("layerdrop"),
            attention=AttentionConfig.from_options(config),
            memory_width=memory_width,
        )
