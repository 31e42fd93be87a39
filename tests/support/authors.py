"""Attention modules from other code: the released modules of the papers' authors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fairseq_plugins.attention import AttentionConfig, StagedMultiheadAttention

NONLINEAR_QUERY = {
    "c_attn": ("k_proj", "v_proj"),
    "c_proj": "out_proj",
    "residual_rmsnorm_input": "q_proj.norm_in",
    "residual_in": "q_proj.linear_in",
    "residual_out": "q_proj.linear_out",
    "residual_layernorm_output": "q_proj.norm_out",
}
GROUPED = {"c_q": "q_proj", "c_kv": ("k_proj", "v_proj"), "c_proj": "out_proj"}
#: prefix -> how its parameters are called there, which choices they are, and whether its linear maps have biases;
#: one name may hold the parameters of several projections, one below the other
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
    "nonlinear_query": {
        "names": NONLINEAR_QUERY,
        "choices": {"attention_projection": "nonlinear-query", "nonlinear_query_no_bias": True},
        "biases": False,
    },
    "nonlinear_query_bias": {"names": NONLINEAR_QUERY, "choices": {"attention_projection": "nonlinear-query"}},
    "identity_query": {
        "names": {"c_attn": ("k_proj", "v_proj"), "c_proj": "out_proj"},
        "choices": {"attention_projection": "identity-query"},
    },
    "shared_key_value": {
        "names": {"c_q": "q_proj", "c_k": "k_proj", "c_proj": "out_proj"},
        "choices": {"attention_projection": "shared-key-value"},
    },
    "shared_query_key": {
        "names": {"c_kv": ("q_proj", "v_proj"), "c_proj": "out_proj"},
        "choices": {"attention_compatibility": "symmetric"},
    },
    "shared_all": {
        "names": {"c_k": "q_proj", "c_proj": "out_proj"},
        "choices": {"attention_projection": "shared"},
    },
    "grouped": {"names": GROUPED, "choices": {"attention_kv_heads": 2}},
    "multi_query": {"names": GROUPED, "choices": {"attention_kv_heads": 1}},
    "grouped_shared_key_value": {
        "names": {"c_q": "q_proj", "c_k": "k_proj", "c_proj": "out_proj"},
        "choices": {"attention_projection": "shared-key-value", "attention_kv_heads": 2},
    },
    "multi_query_shared_key_value": {
        "names": {"c_q": "q_proj", "c_kv": "k_proj", "c_proj": "out_proj"},
        "choices": {"attention_projection": "shared-key-value", "attention_kv_heads": 1},
    },
}


def load_authors_attention(
    arrays: Mapping[str, np.ndarray], prefix: str, num_heads: int = 4
) -> StagedMultiheadAttention:
    """Our attention with the parameters of the authors' module.

    Args:
        arrays: name -> array; the parameters stand under ``prefix.`` with the authors' names (``q_proj.0.weight``,
            ``query.2.bias``, ``output.dense.weight``, ...); other names are ignored.
        prefix: one of :data:`AUTHORS`; ``tests/vectors/README.md`` says whose modules they are.
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
                places = (ours,) if isinstance(ours, str) else ours
                parts = torch.from_numpy(np.array(array)).chunk(len(places))
                parameters.update({place + name[len(start) :]: part for place, part in zip(places, parts)})
    weights = sorted(name for name in parameters if name.startswith("out_proj.") and parameters[name].dim() == 2)
    if not weights:
        raise KeyError(f"no parameters of an output projection under {prefix}.")
    last = parameters[weights[-1]]  # of its layers, where the projection is a network

    module = AttentionConfig(**authors["choices"]).build("encoder", last.size(0), num_heads).to(last.dtype)
    missing = set(module.state_dict()) - set(parameters)
    if not authors.get("biases", True):
        parameters.update({name: torch.zeros_like(module.state_dict()[name]) for name in missing if "bias" in name})
        missing -= set(parameters)
    if missing:
        raise KeyError(f"missing under {prefix}.: {', '.join(sorted(missing))}")
    module.load_state_dict(parameters)
    return module.eval()
