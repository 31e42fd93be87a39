"""RoBERTa's options as fairseq and as Hugging Face (``config.json``) call them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection
from typing import Any

from fairseq_plugins.checkpoints import CheckpointError

#: sizes and probabilities: fairseq's option -> Hugging Face's
SHARED = {
    "encoder_layers": "num_hidden_layers",
    "encoder_embed_dim": "hidden_size",
    "encoder_ffn_embed_dim": "intermediate_size",
    "encoder_attention_heads": "num_attention_heads",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
}
#: what Hugging Face's RoBERTa is: fairseq's option -> the only value that it has there
FIXED = {
    "activation_fn": "gelu",
    "pooler_activation_fn": "tanh",
    "encoder_normalize_before": False,
    "layernorm_embedding": True,
    "no_scale_embedding": True,
    "encoder_learned_pos": True,
    "no_token_positional_embeddings": False,
    "spectral_norm_classification_head": False,
    "mha_heads_to_keep": -1,
    "ffn_blocks_to_remove": -1,
}
#: what fairseq's RoBERTa is: Hugging Face's option -> the only value that it has there (missing ones are taken for it)
REQUIRED = {
    "model_type": "roberta",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}


def wrong_options(options: Namespace, besides: Collection[str] = ()) -> list[str]:
    """A sentence for each option of a fairseq model, but ``besides``, that Hugging Face's RoBERTa does not have."""
    return [
        f"trained with --{name.replace('_', '-')} {getattr(options, name)}: Hugging Face's RoBERTa has {value} only"
        for name, value in FIXED.items()
        if name not in besides and getattr(options, name, value) != value
    ]


def to_config(
    options: Namespace, vocabulary: int, positions: int, classes: int, tied: bool, dtype: str
) -> dict[str, Any]:
    """``config.json`` of a model.

    Args:
        options: fairseq's.
        vocabulary: rows of the token embeddings.
        positions: rows of the position embeddings, the two unused ones included.
        classes: of the classifier; 0 for a masked language model.
        tied: the masked language model's output matrix is the token embeddings.
        dtype: of the weights, such as ``float32``.
    """
    config: dict[str, Any] = {
        "architectures": ["RobertaForSequenceClassification" if classes else "RobertaForMaskedLM"],
        **REQUIRED,
        **{theirs: getattr(options, ours) for ours, theirs in SHARED.items()},
        "max_position_embeddings": positions,
        "vocab_size": vocabulary,
        "type_vocab_size": 1,
        "initializer_range": 0.02,
        "torch_dtype": dtype,
    }
    if classes:
        config["classifier_dropout"] = getattr(options, "pooler_dropout", 0.0)
        config["id2label"] = {str(n): f"LABEL_{n}" for n in range(classes)}
        config["label2id"] = {f"LABEL_{n}": n for n in range(classes)}
    else:
        config["tie_word_embeddings"] = tied
    return config


def to_arguments(config: dict[str, Any], source: str) -> list[str]:
    """fairseq-train's options for the model that a ``config.json`` describes.

    Raises:
        CheckpointError: it describes a model that fairseq's RoBERTa cannot be.
    """
    for name, value in REQUIRED.items():
        found = config.get(name, 1e-12 if name == "layer_norm_eps" else value)  # Hugging Face's default
        if found != value:
            raise CheckpointError(f"{source}: {name} is {found}, and fairseq's RoBERTa has {value} only")
    try:
        arguments = [f"--{ours.replace('_', '-')}={config[theirs]}" for ours, theirs in SHARED.items()]
        positions = config["max_position_embeddings"] - 2
    except KeyError as error:
        raise CheckpointError(f"{source}: {error.args[0]} is missing") from None
    arguments += [f"--max-positions={positions}", f"--tokens-per-sample={positions}"]
    if config.get("classifier_dropout") is not None:
        arguments.append(f"--pooler-dropout={config['classifier_dropout']}")
    if not config.get("tie_word_embeddings", True):
        arguments.append("--untie-weights-roberta")
    return arguments
