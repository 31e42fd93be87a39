"""A model of fairseq's as the configuration of a staged model for ``transformers``, and what that cannot have."""

from __future__ import annotations

from typing import Any

from fairseq_plugins.attention.config import attention_options
from fairseq_plugins.checkpoints import Weights, building
from fairseq_plugins.checkpoints.checkpoint import UNUSED

#: option of fairseq -> the only value with which a staged model computes the same
PLAIN = {
    "adaptive_input": False,
    "adaptive_softmax_cutoff": None,
    "character_embeddings": False,
    "cross_self_attention": False,
    "no_cross_attention": False,
    "base_layers": 0,
    "spectral_norm_classification_head": False,
}
#: what every stack says of its layers
OF_LAYERS = ("activation_fn", "dropout", "attention_dropout", "no_scale_embedding", "layernorm_embedding")


def wrong_options(model: Any) -> list[str]:
    """A sentence for each option that a staged model does not have."""
    options = {**vars(_stack(model).cfg), **vars(getattr(model, "args", None) or _stack(model).cfg)}
    return [
        f"trained with --{name.replace('_', '-')}: a staged model of transformers has no such option"
        for name, value in PLAIN.items()
        if (options.get(name) or value) != value
    ]


def to_options(model: Any, head: str = "") -> dict[str, Any]:
    """The arguments of the configuration's class, by fairseq's names.

    Args:
        model: a transformer, roberta or transformer_lm of fairseq or of this package.
        head: of a roberta, the classification head that is exported.
    """
    kind, cfg = building.family_of_class(type(model)), _stack(model).cfg
    given = {name: vars(cfg)[name] for name in attention_options() if vars(cfg).get(name) is not None}
    given |= {name: getattr(cfg, name) for name in (*OF_LAYERS, "no_token_positional_embeddings")}
    given["activation_dropout"] = float(cfg.activation_dropout or cfg.relu_dropout or 0)
    if kind == "roberta":
        given |= _of_side("encoder", model.encoder.sentence_encoder)
        args, words = model.args, model.encoder.sentence_encoder.embed_tokens.weight
        given |= {
            "max_positions": model.encoder.sentence_encoder.max_source_positions,
            "pooler_activation_fn": args.pooler_activation_fn,
            "pooler_dropout": args.pooler_dropout,
            "vocab_size": len(words),
            "tie_word_embeddings": bool(model.encoder.lm_head.weight is words),
        }
        if head:
            chosen = model.classification_heads[head]
            given |= {"classifier_width": chosen.dense.out_features, "num_labels": chosen.out_proj.out_features}
            given["classification_head"] = head
        return given
    decoder = model.decoder
    given |= _of_side("decoder", decoder)
    given |= {
        "decoder_input_dim": decoder.embed_tokens.embedding_dim,
        "decoder_output_dim": decoder.output_projection.in_features,
        "no_decoder_final_norm": decoder.layer_norm is None,
        "max_target_positions": decoder.max_target_positions,
        "share_decoder_input_output_embed": decoder.output_projection.weight is decoder.embed_tokens.weight,
        "vocab_size": decoder.embed_tokens.num_embeddings,
    }
    if kind == "transformer":
        given |= _of_side("encoder", model.encoder)
        given |= {
            "sinusoidal_positions": vars(cfg).get("sinusoidal_positions") or "fairseq",
            "decoder_start_symbol": "bos" if getattr(decoder, "starts_with_bos", False) else "eos",
            "decoder_vocab_size": given["vocab_size"],
            "vocab_size": model.encoder.embed_tokens.num_embeddings,
            "max_source_positions": model.encoder.max_source_positions,
            "share_all_embeddings": model.encoder.embed_tokens.weight is decoder.output_projection.weight,
            "output_bias": getattr(decoder, "output_bias", None) is not None,
        }
    return given


def to_weights(model: Any, head: str = "") -> Weights:
    """The parameters by a staged model's names: fairseq's, but for the one head that is exported."""
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(UNUSED)}
    if head:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("encoder.lm_head.")}
        place = f"classification_heads.{head}."
        weights |= {
            f"classifier.{name.removeprefix(place)}": weights[name] for name in weights if name.startswith(place)
        }
    return {name: tensor for name, tensor in weights.items() if not name.startswith("classification_heads.")}


def _stack(model: Any) -> Any:
    return model.decoder if hasattr(model, "decoder") else model.encoder.sentence_encoder


def _of_side(side: str, stack: Any) -> dict[str, Any]:
    """The options of an encoder's or decoder's layers; feed-forward layers may have been widened."""
    own = getattr(stack.cfg, side)
    names = {"embed_dim": "embed_dim", "attention_heads": "attention_heads", "layerdrop": "layerdrop"}
    found = {f"{side}_{name}": getattr(own, theirs) for name, theirs in names.items()}
    layers = list(stack.layers.children())
    return {
        **found,
        f"{side}_layers": len(layers),
        f"{side}_ffn_embed_dim": layers[0].fc1.out_features if layers else own.ffn_embed_dim,
        f"{side}_normalize_before": bool(own.normalize_before),
        f"{side}_learned_pos": bool(own.learned_pos),
    }
