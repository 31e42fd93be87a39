"""The configurations: fairseq's options by fairseq's names, and every option of attention."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from transformers import PretrainedConfig

from fairseq_plugins.attention import AttentionConfig
from fairseq_plugins.attention.config import option_classes

#: fairseq's numbers for the symbols that every dictionary has
SYMBOLS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}

_LAYERS: dict[str, Any] = {
    "activation_fn": "relu",
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "no_scale_embedding": False,
    "layernorm_embedding": False,
    "no_token_positional_embeddings": False,
}
_ENCODER: dict[str, Any] = {
    "encoder_layers": 6,
    "encoder_embed_dim": 512,
    "encoder_ffn_embed_dim": 2048,
    "encoder_attention_heads": 8,
    "encoder_normalize_before": False,
    "encoder_learned_pos": False,
    "encoder_layerdrop": 0.0,
}
_DECODER: dict[str, Any] = {
    "decoder_layers": 6,
    "decoder_embed_dim": 512,
    "decoder_input_dim": 512,
    "decoder_output_dim": 512,
    "decoder_ffn_embed_dim": 2048,
    "decoder_attention_heads": 8,
    "decoder_normalize_before": False,
    "no_decoder_final_norm": False,
    "decoder_learned_pos": False,
    "decoder_layerdrop": 0.0,
    "max_target_positions": 1024,
    "share_decoder_input_output_embed": False,
}


class StagedConfig(PretrainedConfig):
    """What all staged models have: options by fairseq's names, those of :func:`.attention_options` among them.

    Args:
        options: whatever is not given has fairseq's default.

    Raises:
        ValueError: an option of attention has no meaning.
    """

    #: names and defaults of the family's options
    options: ClassVar[dict[str, Any]] = {}
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values", "cache"]

    def __init__(self, **given: Any) -> None:
        attention = {item.name: item.default for cls in option_classes() for item in fields(cls)}
        for name, default in {**self.options, **attention}.items():
            setattr(self, name, given.pop(name, default))
        super().__init__(**{**SYMBOLS, "tie_word_embeddings": True, **given})
        AttentionConfig.from_options(self)


class StagedRobertaConfig(StagedConfig):
    """A masked language model or a sentence classifier: fairseq's RoBERTa.

    Args:
        max_positions: the longest sequence.
        classifier_width: of the classification head's hidden layer (default: the model's).
        classification_head: the head's name in fairseq.
        Others: fairseq's ``RobertaModel``.
    """

    model_type = "staged_roberta"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "encoder_embed_dim",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_attention_heads",
        "intermediate_size": "encoder_ffn_embed_dim",
        "max_position_embeddings": "max_positions",
    }
    options: ClassVar[dict[str, Any]] = {
        **_LAYERS,
        **_ENCODER,
        "vocab_size": 50265,
        "max_positions": 512,
        "activation_fn": "gelu",
        "pooler_activation_fn": "tanh",
        "pooler_dropout": 0.0,
        "classifier_width": None,
        "classification_head": "sentence_classification_head",
        "encoder_learned_pos": True,
        "layernorm_embedding": True,
        "no_scale_embedding": True,
    }

    def __init__(self, **given: Any) -> None:  # where a class has none of its own, transformers 5 makes another one
        super().__init__(**given)


class StagedLanguageModelConfig(StagedConfig):
    """A causal language model: fairseq's ``TransformerLanguageModel``, whose options the arguments are."""

    model_type = "staged_transformer_lm"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "decoder_embed_dim",
        "num_hidden_layers": "decoder_layers",
        "num_attention_heads": "decoder_attention_heads",
        "intermediate_size": "decoder_ffn_embed_dim",
        "max_position_embeddings": "max_target_positions",
    }
    options: ClassVar[dict[str, Any]] = {**_LAYERS, **_DECODER, "vocab_size": 50265, "use_cache": True}

    def __init__(self, **given: Any) -> None:  # see above
        super().__init__(**given)


class StagedTranslationConfig(StagedConfig):
    """A translation model: fairseq's ``TransformerModel``, whose options the arguments are.

    Args:
        vocab_size, decoder_vocab_size: of the source, and of the target (default: the same).
    """

    model_type = "staged_transformer"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "decoder_embed_dim",
        "num_hidden_layers": "decoder_layers",
        "num_attention_heads": "decoder_attention_heads",
        "intermediate_size": "decoder_ffn_embed_dim",
        "max_position_embeddings": "max_source_positions",
    }
    options: ClassVar[dict[str, Any]] = {
        **_LAYERS,
        **_ENCODER,
        **_DECODER,
        "vocab_size": 32000,
        "decoder_vocab_size": None,
        "max_source_positions": 1024,
        "share_all_embeddings": False,
        "sinusoidal_positions": "fairseq",
        "decoder_start_symbol": "eos",
        "output_bias": False,
        "use_cache": True,
    }

    def __init__(self, **given: Any) -> None:
        given = {"is_encoder_decoder": True, "decoder_start_token_id": SYMBOLS["eos_token_id"], **given}
        if given.get("decoder_vocab_size") is None:
            given["decoder_vocab_size"] = given.get("vocab_size", self.options["vocab_size"])
        super().__init__(**given)
