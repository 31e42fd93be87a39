"""Encoder and decoder layers whose attention is staged; everything else is fairseq's."""

from __future__ import annotations

from typing import Any

from fairseq.distributed import fsdp_wrap
from fairseq.modules import transformer_layer
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from torch import Tensor, nn

from .attention import FairseqAttention, build_attention
from .compiled import CompilableLayer, check_compiler


class TransformerEncoderLayer(CompilableLayer, transformer_layer.TransformerEncoderLayerBase):
    """fairseq's encoder layer; ``cfg.attention`` says which attention it holds."""

    def build_self_attention(self, embed_dim: int, cfg: Any) -> FairseqAttention:
        return build_attention(
            cfg.attention,
            "encoder",
            embed_dim,
            cfg.encoder.attention_heads,
            self_attention=True,
            **_common(self, cfg, cfg.encoder),
        )

    def residual_connection(self, x: Tensor, residual: Tensor) -> Tensor:
        return _add_residual(self, x, residual)


class TransformerDecoderLayer(CompilableLayer, transformer_layer.TransformerDecoderLayerBase):
    """fairseq's decoder layer; ``cfg.attention`` says which attentions it holds."""

    def build_self_attention(
        self, embed_dim: int, cfg: Any, add_bias_kv: bool = False, add_zero_attn: bool = False
    ) -> FairseqAttention:
        if add_bias_kv or add_zero_attn:
            raise ValueError("staged attention has neither add_bias_kv nor add_zero_attn")
        return build_attention(
            cfg.attention,
            "decoder",
            embed_dim,
            cfg.decoder.attention_heads,
            self_attention=not cfg.cross_self_attention,
            right_padded=cfg.right_padded_targets,
            **_common(self, cfg, cfg.decoder),
        )

    def build_encoder_attention(self, embed_dim: int, cfg: Any) -> FairseqAttention:
        return build_attention(
            cfg.attention,
            "cross",
            embed_dim,
            cfg.decoder.attention_heads,
            kdim=cfg.encoder.embed_dim,
            vdim=cfg.encoder.embed_dim,
            encoder_decoder_attention=True,
            **_common(self, cfg, cfg.decoder),
        )

    def residual_connection(self, x: Tensor, residual: Tensor) -> Tensor:
        return _add_residual(self, x, residual)


def _add_residual(layer: Any, x: Tensor, residual: Tensor) -> Tensor:
    """``residual + x``, where x is what the layer's dropout returned; into x's own memory if nothing else reads it."""
    # only a dropout that drops makes a tensor of its own, and under autocast the sum may have a wider type than x
    if layer.training and layer.dropout_module.p > 0 and x.dtype == residual.dtype:
        return x.add_(residual)
    return residual + x


def _common(layer: Any, cfg: Any, side: Any) -> dict:
    if side.xformers_att_config is not None:
        raise ValueError("staged attention takes no xformers_att_config: choose its stages with --attention-*")
    return {
        "dropout": cfg.attention_dropout,
        "q_noise": layer.quant_noise,
        "qn_block_size": layer.quant_noise_block_size,
    }


def wrap_layer(layer: nn.Module, cfg: Any) -> nn.Module:
    """Compilation, and activation checkpointing and FSDP as fairseq's encoder and decoder apply them to each layer."""
    backend = vars(cfg).get("compile_layers")
    if backend:
        check_compiler(backend)
        layer.compile_backend = backend
    if cfg.checkpoint_activations:
        layer = checkpoint_wrapper(layer, offload_to_cpu=cfg.offload_activations)
    return fsdp_wrap(layer, min_num_params=0 if cfg.checkpoint_activations else cfg.min_params_to_wrap)


def place_layers(layers: nn.ModuleList) -> None:
    """Tell every attention which layer it is in."""
    for number, layer in enumerate(layers.children()):  # the list itself would drop some, where LayerDrop is on
        for module in layer.modules():
            if isinstance(module, FairseqAttention):
                module.mixing.place(number, len(layers))
