"""Where a state dictionary holds attention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fairseq_plugins.attention import AttentionConfig

ROLES = ("q", "k", "v", "out")


def attention_names(names: Iterable[str]) -> list[str]:
    """The attention modules of a state dictionary, such as ``encoder.layers.0.self_attn``, in its order."""
    matches = (re.match(r"(.*)\.[qkv]_proj\.", name) for name in names)
    return list(dict.fromkeys(match[1] for match in matches if match))


def networks(weights: Mapping[str, object], attention: str) -> list[str]:
    """The roles whose projection is a network and not one linear map."""
    present = [role for role in ROLES if any(name.startswith(f"{attention}.{role}_proj.") for name in weights)]
    return [role for role in present if f"{attention}.{role}_proj.weight" not in weights]


def missing(weights: Mapping[str, object], attention: str) -> list[str]:
    """The roles without a projection of their own: k and v share one, and without any q is the input."""
    return [role for role in ROLES if not any(name.startswith(f"{attention}.{role}_proj.") for name in weights)]


def kv_heads(options: object, attention: str) -> int | None:
    """How many heads of keys and values a model's options give to a module; None: as many as queries have."""
    site = "cross" if attention.endswith("encoder_attn") else attention.partition(".")[0]
    return AttentionConfig.from_options(options).kv_heads[site]


def factors_name(attention: str) -> str:
    """The parameter that holds the pairwise factors, if the attention is pairwise."""
    return f"{attention}.compatibility.pairwise_factors"
