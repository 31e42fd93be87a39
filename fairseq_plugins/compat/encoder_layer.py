"""fairseq 0.12.2's fused encoder layer."""

from __future__ import annotations

import types
from typing import Any

import torch

from .registry import mark, marked, repair

#: the parameters of fairseq's fused encoder layer that repeat its attention and feed-forward weights
DUPLICATE_PARAMETERS = (
    "in_proj_weight",
    "in_proj_bias",
    "out_proj_weight",
    "out_proj_bias",
    "fc1_weight",
    "fc1_bias",
    "fc2_weight",
    "fc2_bias",
)


@repair("fairseq#4899, fairseq#4583")
def fused_encoder_layer() -> bool:
    """fairseq 0.12.2's encoder layers swap a fused kernel in after a checkpoint is loaded.

    With it a custom attention is silently replaced by plain softmax attention in generation, torch >= 2.0 stops
    with "Mask Type should be defined", an attention without ``q_proj.weight`` cannot be built, and eight duplicate
    parameters a layer inflate parameter counts, optimizer and checkpoint and break ``--ddp-backend pytorch_ddp``.
    The duplicates are deleted, and dropped from checkpoints that hold them; main removed all of it too.
    """
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer

    def _load_from_state_dict(self: Any, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name in DUPLICATE_PARAMETERS:
            state_dict.pop(prefix + name, None)
        super(Layer, self)._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    # on the main branch too: without this it refuses checkpoints of 0.12.2
    if not marked(Layer._load_from_state_dict):
        Layer._load_from_state_dict = mark(_load_from_state_dict, Layer._load_from_state_dict)

    init = Layer.__init__
    if marked(init) or "in_proj_weight" not in init.__code__.co_names:
        return True

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        built: list[torch.nn.Module] = []

        def build_self_attention(*args: Any, **kwargs: Any) -> torch.nn.Module:
            attention = type(self).build_self_attention(self, *args, **kwargs)
            if _has_shape(attention):
                return attention
            built.append(attention)
            return _AttentionShape()

        # the original reads q_proj.weight and others only to size the duplicates
        self.__dict__["build_self_attention"] = build_self_attention
        try:
            init(self, *args, **kwargs)
        finally:
            self.__dict__.pop("build_self_attention", None)
        if built:
            self._modules["self_attn"] = built[0]  # in its place: the optimizer's state follows the modules' order
        for name in DUPLICATE_PARAMETERS:
            self._parameters.pop(name, None)
        self.can_use_fastpath = False

    Layer.__init__ = mark(__init__, init)
    if "in_proj_weight" in Layer.forward.__code__.co_names:
        Layer.forward = _encoder_layer_forward
    return True


def _encoder_layer_forward(self, x, encoder_padding_mask: torch.Tensor | None, attn_mask: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
    """The layer without the fused kernel, as on fairseq's main branch; TorchScript compiles this source.

    Args:
        x: input, T x B x C.
        encoder_padding_mask: B x T, true where a token is padding.
        attn_mask: T x T, true (or 1) where attention is forbidden.
    """
    if attn_mask is not None:
        attn_mask = attn_mask.masked_fill(attn_mask.to(torch.bool), -1e8 if x.dtype == torch.float32 else -1e4)

    residual = x
    if self.normalize_before:
        x = self.self_attn_layer_norm(x)
    x, _ = self.self_attn(
        query=x, key=x, value=x, key_padding_mask=encoder_padding_mask, need_weights=False, attn_mask=attn_mask
    )
    x = self.dropout_module(x)
    x = self.residual_connection(x, residual)
    if not self.normalize_before:
        x = self.self_attn_layer_norm(x)

    residual = x
    if self.normalize_before:
        x = self.final_layer_norm(x)
    x = self.activation_fn(self.fc1(x))
    x = self.activation_dropout_module(x)
    x = self.fc2(x)
    fc_result = x
    x = self.dropout_module(x)
    x = self.residual_connection(x, residual)
    if not self.normalize_before:
        x = self.final_layer_norm(x)

    if self.return_fc and not torch.jit.is_scripting():
        return x, fc_result
    return x


def _has_shape(attention: Any) -> bool:
    """Whether an attention has the weights that the fused layer's constructor wants to see."""
    try:
        weights = [getattr(attention, name).weight for name in ("q_proj", "out_proj")]
        biases = [getattr(attention, name).bias for name in ("q_proj", "out_proj")]
        return all(weight.dim() == 2 for weight in weights) and all(bias.dim() == 1 for bias in biases)
    except AttributeError:
        return False


class _AttentionShape(torch.nn.Module):
    """What the fused layer's constructor wants to see of an attention: weights with a shape, here empty."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = self.out_proj = types.SimpleNamespace(weight=torch.empty(0, 0), bias=torch.empty(0))
