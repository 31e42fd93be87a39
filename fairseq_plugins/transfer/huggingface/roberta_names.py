"""The parameters of RoBERTa as fairseq and as Hugging Face call them."""

from __future__ import annotations

import re

from fairseq_plugins.checkpoints import Weights

EMBEDDINGS, POSITIONS = "roberta.embeddings.word_embeddings.weight", "roberta.embeddings.position_embeddings.weight"
#: fairseq's name -> Hugging Face's, outside the layers
MODEL = {
    "encoder.sentence_encoder.embed_tokens.weight": EMBEDDINGS,
    "encoder.sentence_encoder.embed_positions.weight": POSITIONS,
    "encoder.sentence_encoder.layernorm_embedding": "roberta.embeddings.LayerNorm",
}
LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}
MASKED_LM_HEAD = {
    "encoder.lm_head.dense": "lm_head.dense",
    "encoder.lm_head.layer_norm": "lm_head.layer_norm",
    "encoder.lm_head.weight": "lm_head.decoder.weight",
    "encoder.lm_head.bias": "lm_head.bias",
}
CLASSIFIER_HEAD = {
    "classification_heads.{head}.dense": "classifier.dense",
    "classification_heads.{head}.out_proj": "classifier.out_proj",
}
#: added to every position in Hugging Face's model; fairseq has none
TOKEN_TYPES = "roberta.embeddings.token_type_embeddings.weight"


def correspondence(layers: int, head: str = "") -> dict[str, str]:
    """fairseq's parameters -> Hugging Face's, of a classifier if ``head`` names one and of a masked LM otherwise."""
    inner = {
        f"encoder.sentence_encoder.layers.{n}.{ours}": f"roberta.encoder.layer.{n}.{theirs}"
        for n in range(layers)
        for ours, theirs in LAYER.items()
    }
    outer = {ours.format(head=head): theirs for ours, theirs in (CLASSIFIER_HEAD if head else MASKED_LM_HEAD).items()}
    pairs: dict[str, str] = {}
    for ours, theirs in {**MODEL, **inner, **outer}.items():
        single = ours.endswith((".weight", ".bias"))
        pairs.update({ours: theirs} if single else {f"{ours}.{k}": f"{theirs}.{k}" for k in ("weight", "bias")})
    return pairs


def current_names(weights: Weights) -> Weights:
    """Hugging Face's weights by today's names: with ``roberta.``, ``weight`` and ``bias``, without buffers."""
    renamed = {}
    for name, tensor in weights.items():
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))
        if name.startswith(("embeddings.", "encoder.", "pooler.")):
            name = f"roberta.{name}"
        if not name.endswith("position_ids"):
            renamed[name] = tensor
    return renamed
