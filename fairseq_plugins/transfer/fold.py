"""Folding: attention that shares or lacks linear projections as plain attention with identical outputs.

Courtois et al. 2024 (arXiv 2406.06366): ``score = q(x) S q(y)^T / sqrt(D)`` per head. With the queries ``q(x) S`` and
the keys ``q(y)`` that is the plain dot product, so a trained model becomes one that every runtime can load. A shared
projection becomes as many as share it, queries that are the input get a projection by the identity, and heads of keys
and values that several heads share are repeated.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, Weights
from fairseq_plugins.checkpoints.probe import check_same
from fairseq_plugins.checkpoints.stock import forget_plugin, not_stock
from fairseq_plugins.lines import PathLike
from fairseq_plugins.models.grid import grid_place, stock_name

from .attention_names import ROLES, attention_names, factors_name, kv_heads, missing
from .obstacles import rounded, with_networks

#: options of a folded model
FOLDED = {
    "attention_compatibility": "dot",
    "attention_projection": "linear",
    "attention_kv_heads": None,
    "match_parameters_of": None,
}


def fold_checkpoint(source: PathLike, target: PathLike) -> list[str]:
    """Write a model of this plugin as one of stock fairseq with identical outputs.

    Args:
        source: a checkpoint with linear projections, whether some are shared or missing, and with symmetric, pairwise
            or plain attention at each site.
        target: the file to write; it appears complete or not at all.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the source cannot be read, stock fairseq has no model with its outputs, or the folded one has
            others.
    """
    checkpoint = Checkpoint.read(source)
    original = checkpoint.model_part()
    notes = fold(checkpoint)
    check_same(original, checkpoint, "the folded model")
    checkpoint.write(target)
    return notes


def fold(checkpoint: Checkpoint) -> list[str]:
    """:func:`fold_checkpoint` of a checkpoint in memory, in place and without a look at its outputs."""
    place = grid_place(checkpoint.architecture)
    if place is None:
        raise CheckpointError(
            f"{checkpoint.name}: its architecture {checkpoint.architecture} is none of this plugin's: nothing to fold"
        )
    checkpoint.refuse([*rounded(checkpoint), *fold_obstacles(checkpoint)])
    old, (family, _, size) = checkpoint.architecture, place
    folded = fold_weights(checkpoint.weights, checkpoint.options)
    for weights in checkpoint.averages:
        fold_weights(weights, checkpoint.options)

    checkpoint.set_options(**FOLDED)
    # a matched or pruned model's feed-forward width is in no option
    checkpoint.set_options(**_feed_forward_widths(checkpoint.weights))
    if family == "roberta":
        checkpoint.set_options(ffn_blocks_to_remove=-1)
    stock = stock_name(family, size)
    forget_plugin(checkpoint)
    checkpoint.rename_architecture(stock)
    checkpoint.drop_training()
    total = len(attention_names(checkpoint.weights))
    notes = [f"architecture {old} -> {stock}", f"folded {len(folded)} of {total} attention modules"]
    return [*notes, "dropped the optimizer's state: go on with --reset-optimizer --reset-lr-scheduler"]


def fold_obstacles(checkpoint: Checkpoint) -> list[str]:
    """Why a model of this plugin cannot be one of stock fairseq's even when it is folded."""
    plain = checkpoint.model_part()
    plain.set_options(**FOLDED)
    networks = with_networks(checkpoint.weights, "only attention with linear projections can be folded")
    return [*networks, *not_stock(plain)]


def fold_weights(weights: Weights, options: object = None) -> list[str]:
    """Give every attention a query, a key and a value projection, in place, with as many heads each.

    A missing key projection is the query's, a missing value projection the key's, a missing query projection the
    identity. With pairwise factors, per head in row vectors: ``W_q' = S^T W_q``, ``b_q' = S^T b_q``, ``W_k' = W_q``,
    ``b_k' = b_q``; computed in float64, kept in the weights' own precision.

    Args:
        weights: of a model with linear projections.
        options: of the model, which say how many heads keys and values have (default: as many as queries).

    Returns:
        The names of the attention modules that were changed.
    """
    changed = []
    for attention in attention_names(weights):
        q, k, v, out = (f"{attention}.{role}_proj" for role in ROLES)
        roles, width = missing(weights, attention), weights[f"{out}.weight"].size(1)
        groups = kv_heads(options, attention)
        if not roles and groups is None:
            continue
        changed.append(attention)
        factors = weights.pop(factors_name(attention), None)
        for name in ("weight", "bias"):
            for owned in (k, v):
                if groups is not None and f"{owned}.{name}" in weights:
                    weights[f"{owned}.{name}"] = repeat_heads(weights[f"{owned}.{name}"], groups, width)
            if "q" in roles:
                weights[f"{q}.{name}"] = _identity(weights[f"{k}.{name}"])
            if "k" in roles:
                weights[f"{k}.{name}"] = weights[f"{q}.{name}"].clone()
            if "v" in roles:
                weights[f"{v}.{name}"] = weights[f"{k}.{name}"].clone()
            if factors is not None:
                weights[f"{q}.{name}"] = fold_queries(weights[f"{q}.{name}"], factors)
    return changed


def repeat_heads(parameter: Tensor, groups: int, width: int) -> Tensor:
    """The weight (N * D, C) or bias (N * D) of N groups' heads for every head: (width, C) or (width)."""
    of_groups = parameter.reshape(groups, 1, parameter.size(0) // groups, -1)
    return of_groups.expand(-1, width // parameter.size(0), -1, -1).reshape(width, *parameter.shape[1:]).contiguous()


def _identity(like: Tensor) -> Tensor:
    """The weight (C, C), or the bias (C), of the map that changes nothing, by one of C outputs."""
    return torch.zeros_like(like) if like.dim() == 1 else torch.eye(like.size(0), dtype=like.dtype)


def fold_queries(shared: Tensor, factors: Tensor) -> Tensor:
    """``S^T`` of each head applied to a projection's weight (C, C) or bias (C); ``factors`` is (H, D, D)."""
    heads, width, _ = factors.shape
    rows = shared.double().reshape(heads, width, -1)
    return torch.matmul(factors.double().transpose(1, 2), rows).reshape(shared.shape).to(shared.dtype)


def _feed_forward_widths(weights: Weights) -> dict[str, int]:
    matches = ((re.match(r"(encoder|decoder)\..*\.fc1\.weight$", name), weight) for name, weight in weights.items())
    return {f"{match[1]}_ffn_embed_dim": weight.size(0) for match, weight in matches if match}
