"""A fairseq translation model's parameters at their places in CTranslate2's Transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from fairseq.modules import SinusoidalPositionalEmbedding

from fairseq_plugins.checkpoints import CheckpointError, Weights
from fairseq_plugins.checkpoints.checkpoint import UNUSED

INSTALL = "pip install 'fairseq_plugins[ctranslate2]'"
#: fairseq's --activation-fn -> CTranslate2's
ACTIVATIONS = {
    "relu": "RELU",
    "gelu": "GELU",
    "gelu_fast": "GELUTanh",
    "gelu_accurate": "GELUTanh",
    "swish": "SWISH",
    "tanh": "Tanh",
}
LAYER_NORM_EPSILON = 1e-5


def ctranslate2_package() -> Any:
    """The package ``ctranslate2`` with its specifications.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        import ctranslate2
        import ctranslate2.specs
    except ImportError:
        raise CheckpointError(f"the package ctranslate2 is missing; run: {INSTALL}") from None
    return ctranslate2


def transformer_spec(model: Any, weights: Weights) -> Any:
    """CTranslate2's ``TransformerSpec`` of a model, without vocabularies.

    Args:
        model: the encoder-decoder of fairseq or of this plugin, for its shape and its positions.
        weights: its parameters, folded: every attention has four linear projections.

    Raises:
        CheckpointError: CTranslate2's Transformer has no such option, or no place for a parameter; or the package is
            missing.
    """
    specs = ctranslate2_package().specs
    cfg, parameters = model.decoder.cfg, Parameters(weights)
    if cfg.activation_fn not in ACTIVATIONS:
        raise CheckpointError(f"trained with --activation-fn {cfg.activation_fn}, which CTranslate2 does not have")
    shared = {
        "activation": getattr(specs.common_spec.Activation, ACTIVATIONS[cfg.activation_fn]),
        "layernorm_embedding": cfg.layernorm_embedding,
    }
    encoder = specs.TransformerEncoderSpec(
        cfg.encoder.layers, cfg.encoder.attention_heads, pre_norm=model.encoder.layer_norm is not None, **shared
    )
    layer, heads = (vars(cfg).get(name) for name in ("alignment_layer", "alignment_heads"))
    decoder = specs.TransformerDecoderSpec(
        cfg.decoder.layers,
        cfg.decoder.attention_heads,
        pre_norm=cfg.decoder.normalize_before,
        no_final_norm=model.decoder.layer_norm is None,
        alignment_layer=-1 if layer is None else layer,
        alignment_heads=heads or 0,  # 0 = all
        **shared,
    )
    for name, stack, spec in (("encoder", model.encoder, encoder), ("decoder", model.decoder, decoder)):
        parameters.fill_stack(name, stack, spec)
    parameters.fill_linear("decoder.output_projection", decoder.projection)
    if "decoder.output_bias" in parameters.left:
        decoder.projection.bias = parameters.take("decoder.output_bias")
    parameters.check_all_taken()
    spec = specs.TransformerSpec(encoder, decoder)
    spec.config.layer_norm_epsilon = LAYER_NORM_EPSILON
    return spec


def without_place(model: Any, weights: Weights) -> list[str]:
    """What :func:`transformer_spec` stops with, if it does."""
    try:
        transformer_spec(model, weights)
    except CheckpointError as error:
        return [str(error)]
    return []


class Parameters:
    """Parameters by their names in fairseq, each of which finds its place once."""

    def __init__(self, weights: Weights) -> None:
        self.left = {name: tensor for name, tensor in weights.items() if not name.endswith(UNUSED)}

    def take(self, name: str) -> Any:
        """One parameter as a float32 array."""
        return self.left.pop(name).float().numpy()

    def check_all_taken(self) -> None:
        """Raises CheckpointError if a parameter is left."""
        if self.left:
            names = ", ".join(self.left)
            raise CheckpointError(f"CTranslate2's Transformer has no place for the parameter {names}")

    def fill_stack(self, name: str, stack: Any, spec: Any) -> None:
        """An encoder or a decoder; an encoder's specification has a list of embeddings."""
        embeddings = spec.embeddings[0] if isinstance(spec.embeddings, list) else spec.embeddings
        embeddings.weight = self.take(f"{name}.embed_tokens.weight")
        spec.scale_embeddings = stack.embed_scale
        spec.position_encodings.encodings = self._positions(name, stack, embeddings.weight.shape[1])
        for place in ("layernorm_embedding", "layer_norm"):
            if hasattr(spec, place):
                self.fill_norm(f"{name}.{place}", getattr(spec, place))
        for number, layer in enumerate(spec.layer):
            self.fill_layer(f"{name}.layers.{number}", layer)

    def fill_layer(self, name: str, spec: Any) -> None:
        self.fill_attention(f"{name}.self_attn", spec.self_attention, [["q_proj", "k_proj", "v_proj"], ["out_proj"]])
        if hasattr(spec, "attention"):
            self.fill_attention(
                f"{name}.encoder_attn", spec.attention, [["q_proj"], ["k_proj", "v_proj"], ["out_proj"]]
            )
        self.fill_linear(f"{name}.fc1", spec.ffn.linear_0)
        self.fill_linear(f"{name}.fc2", spec.ffn.linear_1)
        self.fill_norm(f"{name}.final_layer_norm", spec.ffn.layer_norm)

    def fill_attention(self, name: str, spec: Any, parts: list[list[str]]) -> None:
        """``parts``: the projections that stand below each other in each of the attention's matrices."""
        for linear, roles in zip(spec.linear, parts):
            linear.weight = np.concatenate([self.take(f"{name}.{role}.weight") for role in roles])
            linear.bias = np.concatenate([self.take(f"{name}.{role}.bias") for role in roles])
        self.fill_norm(f"{name}_layer_norm", spec.layer_norm)

    def fill_linear(self, name: str, spec: Any) -> None:
        spec.weight = self.take(f"{name}.weight")
        if f"{name}.bias" in self.left:
            spec.bias = self.take(f"{name}.bias")

    def fill_norm(self, name: str, spec: Any) -> None:
        spec.gamma, spec.beta = self.take(f"{name}.weight"), self.take(f"{name}.bias")

    def _positions(self, name: str, stack: Any, width: int) -> Any:
        """positions x width: the table from the first word's row on, zeros where the model has none."""
        positions, learned = stack.embed_positions, f"{name}.embed_positions.weight"
        if positions is None:
            limit = stack.max_source_positions if name == "encoder" else stack.max_target_positions
            return np.zeros((limit, width), dtype=np.float32)
        computed = isinstance(positions, SinusoidalPositionalEmbedding)
        table = positions.weights.float().numpy() if computed else self.take(learned)
        return np.ascontiguousarray(table[positions.padding_idx + 1 :])
