"""Folding: symmetric and pairwise attention as plain attention with identical outputs.

Courtois et al. 2024 (arXiv 2406.06366): ``score = q(x) S q(y)^T / sqrt(D)`` per head. With the queries ``q(x) S`` and
the keys ``q(y)`` that is the plain dot product, so a trained model becomes one that every runtime can load.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List

import torch
from torch import Tensor

from fairseq_plugins.checkpoints import CheckpointError, PathLike

from . import state as checkpoint
from .names import attention_names, factors_name, networks, shares_query
from .probe import check_states
from .state import Weights


def fold_checkpoint(source: PathLike, target: PathLike) -> List[str]:
    """Write a model of this plugin as one of stock fairseq with identical outputs.

    Args:
        source: a checkpoint whose attention is symmetric, pairwise or plain at each site, with linear projections.
        target: the file to write; it appears complete or not at all.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the source cannot be read, stock fairseq has no model with its outputs, or the folded one has
            others.
    """
    state = checkpoint.read(source)
    checkpoint.check_float(state, str(source))
    original = checkpoint.model_part(state)
    notes = fold_state(state, str(source))
    check_states(original, state, str(source), "the folded model")
    checkpoint.write(state, target)
    return notes


def fold_state(state: Dict[str, Any], source: str) -> List[str]:
    """:func:`fold_checkpoint` of a state in memory, in place; ``source`` is its name in messages."""
    from fairseq_plugins.models.grid import stock_name

    old = checkpoint.architecture(state)
    try:
        family, _, size = checkpoint.grid_place(old)
    except CheckpointError:
        raise CheckpointError(f"{source}: its architecture {old} is none of this plugin's: nothing to fold") from None
    _check_linear(state["model"], source)
    folded = fold_weights(state["model"])
    for weights in checkpoint.averages(state):
        fold_weights(weights)

    checkpoint.set_options(state, attention_compatibility="dot", match_parameters_of=None)
    # a matched or pruned model's feed-forward width is in no option
    checkpoint.set_options(state, **_feed_forward_widths(state["model"]))
    if family == "roberta":
        checkpoint.set_options(state, ffn_blocks_to_remove=-1)
    stock = stock_name(family, size)
    checkpoint.to_stock_options(state, stock, source)
    checkpoint.drop_training(state)
    total = len(attention_names(state["model"]))
    notes = [f"architecture {old} -> {stock}", f"folded {len(folded)} of {total} attention modules"]
    return [*notes, "dropped the optimizer's state: go on with --reset-optimizer --reset-lr-scheduler"]


def fold_weights(weights: Weights) -> List[str]:
    """Give every attention that shares its query projection a key projection, in place.

    Per head, in row vectors: ``W_q' = S^T W_q``, ``b_q' = S^T b_q``, ``W_k' = W_q``, ``b_k' = b_q``; computed in
    float64, kept in the weights' own precision.

    Returns:
        The names of the attention modules that were changed.
    """
    changed = [attention for attention in attention_names(weights) if shares_query(weights, attention)]
    for attention in changed:
        factors = weights.pop(factors_name(attention), None)
        for name in ("weight", "bias"):
            shared = weights[f"{attention}.q_proj.{name}"]
            weights[f"{attention}.k_proj.{name}"] = shared.clone()
            if factors is not None:
                weights[f"{attention}.q_proj.{name}"] = fold_queries(shared, factors)
    return changed


def fold_queries(shared: Tensor, factors: Tensor) -> Tensor:
    """``S^T`` of each head applied to a projection's weight (C, C) or bias (C); ``factors`` is (H, D, D)."""
    heads, width, _ = factors.shape
    rows = shared.double().reshape(heads, width, -1)
    return torch.matmul(factors.double().transpose(1, 2), rows).reshape(shared.shape).to(shared.dtype)


def _check_linear(weights: Weights, source: str) -> None:
    for attention in attention_names(weights):
        roles = networks(weights, attention)
        if roles:
            raise CheckpointError(
                f"{source}: the {', '.join(roles)} projection{'s' if len(roles) > 1 else ''} of {attention} "
                "are networks (--attention-projection neural), which no linear projection can replace; only "
                "attention with linear projections can be folded"
            )


def _feed_forward_widths(weights: Weights) -> Dict[str, int]:
    matches = ((re.match(r"(encoder|decoder)\..*\.fc1\.weight$", name), weight) for name, weight in weights.items())
    return {f"{match[1]}_ffn_embed_dim": weight.size(0) for match, weight in matches if match}
