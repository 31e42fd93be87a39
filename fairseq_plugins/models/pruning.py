"""``--mha-heads-to-keep`` and ``--ffn-blocks-to-remove``: RoBERTa with fewer heads and narrower feed-forward layers.

fairseq's trainer prunes a new model to the options' shapes before it loads a checkpoint, which somebody has pruned by
its own weights; whoever else loads one expects all heads. Our models take the shapes of what they load, wherever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

#: the options' value for "none"
OFF = -1


def check_pruning(args: Any, layers: Any) -> None:
    """Whether a model that is not pruned yet can be pruned as its options say.

    Raises:
        ValueError: it cannot; the message names the option.
    """
    keep, remove = _wanted(args)
    for layer in layers.children():  # the list itself would drop some, where LayerDrop is on
        attention, width = layer.self_attn, layer.fc1.out_features
        if keep != OFF:
            if not 1 <= keep <= attention.num_heads:
                raise ValueError(f"--mha-heads-to-keep {keep}: from 1 to {attention.num_heads}, or {OFF} for all")
            attention.check_heads_alike()
        if remove != OFF and not 0 <= remove < width:
            raise ValueError(f"--ffn-blocks-to-remove {remove}: from 0 to {width - 1}, or {OFF} for none")


def prune_as(args: Any, layers: Any, weights: Mapping[str, Tensor], prefix: str) -> None:
    """Prune layers that are not yet, if their options say so and ``weights`` (``PREFIX.NUMBER.…``) are of pruned ones.

    Raises:
        ValueError: the layers are pruned, and the weights are not.
    """
    keep, remove = _wanted(args)
    for number, layer in enumerate(layers.children()):
        attention = layer.self_attn
        maker = getattr(attention, "makers", {}).get("v", "v")  # fairseq's own attention has values of their own
        values = f"{prefix}.{number}.self_attn.{maker}_proj"
        biases = [key for key in weights if key.startswith(values) and "bias" in key]
        if keep != OFF and biases:
            found = weights[biases[-1]].numel() // attention.head_dim
            _check_pruned(f"--mha-heads-to-keep {keep}", "heads", found, attention.num_heads)
            if found == keep < attention.num_heads:
                attention._adaptive_prune_heads(attention._get_reserve_head_index(keep))
        weight, width = weights.get(f"{prefix}.{number}.fc1.weight"), layer.fc1.out_features
        if remove != OFF and weight is not None:
            _check_pruned(f"--ffn-blocks-to-remove {remove}", "feed-forward units", weight.size(0), width)
            if weight.size(0) == width - remove:
                layer._prune_fc_layer(layer._get_fc_rank(remove))


def _wanted(args: Any) -> tuple[int, int]:
    """Heads to keep and feed-forward units to remove, OFF for none."""
    return getattr(args, "mha_heads_to_keep", OFF), getattr(args, "ffn_blocks_to_remove", OFF)


def _check_pruned(option: str, what: str, found: int, there: int) -> None:
    if found > there:
        raise ValueError(
            f"{option}: the checkpoint has {found} {what} a layer and the pruned model {there}; prune the trained "
            "model by its own weights and save it first (_adaptive_prune_heads, _prune_fc_layer), or leave it out"
        )
