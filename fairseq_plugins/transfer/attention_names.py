"""Where a state dictionary holds attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ROLES = ("q", "k", "v", "out")


def attention_names(names: Iterable[str]) -> list[str]:
    """The attention modules of a state dictionary, such as ``encoder.layers.0.self_attn``, in its order."""
    return list(dict.fromkeys(name.partition(".q_proj.")[0] for name in names if ".q_proj." in name))


def networks(weights: Mapping[str, object], attention: str) -> list[str]:
    """The roles whose projection is a network and not one linear map."""
    present = [role for role in ROLES if any(name.startswith(f"{attention}.{role}_proj.") for name in weights)]
    return [role for role in present if f"{attention}.{role}_proj.weight" not in weights]


def shares_query(weights: Mapping[str, object], attention: str) -> bool:
    """Whether the keys are made by the query projection: then no key projection exists."""
    return not any(name.startswith(f"{attention}.k_proj.") for name in weights)


def factors_name(attention: str) -> str:
    """The parameter that holds the pairwise factors, if the attention is pairwise."""
    return f"{attention}.compatibility.pairwise_factors"
