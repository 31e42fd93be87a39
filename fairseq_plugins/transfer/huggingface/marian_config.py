"""Marian's ``config.json`` as options of the ``transformer`` family."""

from __future__ import annotations

from typing import Any

from fairseq_plugins.checkpoints import CheckpointError

#: sizes and probabilities: fairseq's option -> Hugging Face's
SHARED = {
    "encoder_layers": "encoder_layers",
    "encoder_embed_dim": "d_model",
    "encoder_ffn_embed_dim": "encoder_ffn_dim",
    "encoder_attention_heads": "encoder_attention_heads",
    "decoder_layers": "decoder_layers",
    "decoder_embed_dim": "d_model",
    "decoder_ffn_embed_dim": "decoder_ffn_dim",
    "decoder_attention_heads": "decoder_attention_heads",
    "max_source_positions": "max_position_embeddings",
    "max_target_positions": "max_position_embeddings",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
}
#: Hugging Face's activation -> fairseq's
ACTIVATIONS = {"swish": "swish", "silu": "swish", "relu": "relu", "gelu": "gelu", "tanh": "tanh"}
#: what is supported: Hugging Face's option -> the only value (missing ones are taken for it)
REQUIRED = {
    "model_type": "marian",
    "is_encoder_decoder": True,
    "share_encoder_decoder_embeddings": True,
    "tie_word_embeddings": True,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}
#: Marian's ways that are none of fairseq's defaults
CONVENTIONS = (
    "--sinusoidal-positions=marian",
    "--decoder-start-symbol=bos",
    "--output-bias",
    "--share-all-embeddings",
)


def to_arguments(config: dict[str, Any], source: str) -> list[str]:
    """fairseq-train's model options for the model that a ``config.json`` describes.

    Raises:
        CheckpointError: it describes a model that the ``transformer`` family cannot be.
    """
    for name, value in REQUIRED.items():
        if config.get(name, value) != value:
            raise CheckpointError(f"{source}: {name} is {config[name]}, and only {value} can be imported")
    try:
        arguments = [f"--{ours.replace('_', '-')}={config[theirs]}" for ours, theirs in SHARED.items()]
        activation, start, pad = (config[n] for n in ("activation_function", "decoder_start_token_id", "pad_token_id"))
    except KeyError as error:
        raise CheckpointError(f"{source}: {error.args[0]} is missing") from None
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise CheckpointError(f"{source}: activation_function is {activation}, and fairseq has {known} only")
    if start != pad:
        raise CheckpointError(f"{source}: the decoder starts with {start}, and Marian's with its <pad>, {pad}")
    if not config.get("scale_embedding", False):
        arguments.append("--no-scale-embedding")
    return [*arguments, f"--activation-fn={ACTIVATIONS[activation]}", *CONVENTIONS]
