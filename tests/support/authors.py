"""Attention modules from other code: the released modules of the papers' authors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fairseq_plugins.attention import AttentionConfig, StagedMultiheadAttention

#: prefix -> how its parameters are called there, and which choices they are
AUTHORS: dict[str, dict[str, Any]] = {
    "marian_neural": {
        "names": {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "out_proj": "out_proj"},
        "choices": {"attention_projection": "neural", "neural_qkv_shape": "marian"},
    },
    "roberta_neural": {
        "names": {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output.dense": "out_proj"},
        "choices": {"attention_projection": "neural", "neural_qkv_shape": "roberta"},
    },
    "bert_symmetric": {
        "names": {"query": "q_proj", "value": "v_proj", "output.dense": "out_proj"},
        "choices": {"attention_compatibility": "symmetric"},
    },
    "bert_pairwise": {
        "names": {
            "query": "q_proj",
            "value": "v_proj",
            "output.dense": "out_proj",
            "pairwise_factors": "compatibility.pairwise_factors",
        },
        "choices": {"attention_compatibility": "pairwise"},
    },
}


def load_authors_attention(
    arrays: Mapping[str, np.ndarray], prefix: str, num_heads: int = 4
) -> StagedMultiheadAttention:
    """Our attention with the parameters of the authors' module.

    Args:
        arrays: name -> array; the parameters stand under ``prefix.`` with the authors' names (``q_proj.0.weight``,
            ``query.2.bias``, ``output.dense.weight``, ...); other names are ignored.
        prefix: ``marian_neural`` or ``roberta_neural`` (github.com/ocislyjrti/NeuralAttention: Marian translation model
            and RoBERTa), ``bert_symmetric`` or ``bert_pairwise`` (github.com/mcrts/ACL2024-SymmetricAttentionBert).
        num_heads: which the parameters do not tell; the reference vectors have 4.

    Returns:
        The module in evaluation mode and in the arrays' precision, for self- and cross-attention alike: it takes
        ``query, key, value`` as T x B x C.

    Raises:
        ValueError: the prefix is unknown.
        KeyError: a parameter is missing under the prefix.
    """
    if prefix not in AUTHORS:
        raise ValueError(f"unknown prefix {prefix!r}; known: {', '.join(AUTHORS)}")
    authors = AUTHORS[prefix]
    parameters = {}
    for name, array in arrays.items():
        for theirs, ours in authors["names"].items():
            start = f"{prefix}.{theirs}"
            if name == start or name.startswith(f"{start}."):
                parameters[ours + name[len(start) :]] = torch.from_numpy(np.array(array))
    biases = sorted(name for name in parameters if name.startswith("v_proj.") and name.endswith("bias"))
    if not biases:
        raise KeyError(f"no parameters of a value projection under {prefix}.")
    output_bias = parameters[biases[-1]]  # the last layer's, where the projection is a network

    module = AttentionConfig(**authors["choices"]).build("encoder", output_bias.numel(), num_heads)
    missing = set(module.state_dict()) - set(parameters)
    if missing:
        raise KeyError(f"missing under {prefix}.: {', '.join(sorted(missing))}")
    module = module.to(output_bias.dtype)
    module.load_state_dict(parameters)
    return module.eval()
