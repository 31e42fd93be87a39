"""A checkpoint of stock fairseq's as one of this plugin's baseline, and the reverse."""

from __future__ import annotations

from typing import Any

import torch

from fairseq_plugins.compat.encoder_layer import DUPLICATE_PARAMETERS
from fairseq_plugins.lines import PathLike
from fairseq_plugins.models.grid import OWN_SIZES, SIZES, architecture_name, grid_place, stock_name

from .checkpoint import UNUSED, Checkpoint, Weights
from .probe import check_same
from .reading import CheckpointError
from .stock import forget_plugin


def convert_checkpoint(source: PathLike, target: PathLike, to: str) -> list[str]:
    """Write a stock checkpoint of one of the families as ``FAMILY_baseline*``, or the reverse.

    The weights keep their names; only the architecture's name, the options that stock fairseq does not know, and
    the fused encoder layer's duplicate parameters change. Going to ``baseline`` the optimizer's state is carried
    over where its entries can be told apart, going to ``stock`` it is dropped: whether the reader has the duplicate
    parameters depends on its fairseq.

    Args:
        source: the checkpoint to read.
        target: the file to write; it appears complete or not at all.
        to: ``"baseline"`` or ``"stock"``.

    Returns:
        Sentences about what was changed or dropped.

    Raises:
        CheckpointError: the source cannot be read, its architecture has no counterpart, or the counterpart has other
            outputs.
    """
    checkpoint = Checkpoint.read(source)
    original = checkpoint.model_part()
    notes = convert(checkpoint, to)
    check_same(original, checkpoint, f"its {to} form")
    checkpoint.write(target)
    return notes


def convert(checkpoint: Checkpoint, to: str) -> list[str]:
    """:func:`convert_checkpoint` of a checkpoint in memory, in place and without a look at its outputs."""
    state, old = checkpoint.state, checkpoint.architecture
    if not old or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{checkpoint.name}: no fairseq checkpoint that names its architecture")
    new = _counterpart(old, to, checkpoint.name)
    notes = [f"architecture {old} -> {new}"]
    if to == "stock":
        forget_plugin(checkpoint)
    checkpoint.rename_architecture(new)

    duplicates = _duplicates(checkpoint.weights)
    if state.get("last_optimizer_state") is not None:
        notes.append(_convert_optimizer(checkpoint, duplicates, to))
    for weights in (checkpoint.weights, *checkpoint.averages):
        for name in duplicates:
            weights.pop(name, None)
    if duplicates:
        notes.append(f"dropped {len(duplicates)} duplicate parameters of fairseq's fused encoder layers")
    return notes


def _counterpart(name: str, to: str, source: str) -> str:
    """``transformer_tiny`` <-> ``transformer_baseline_tiny``; a size that fairseq has not is its family's default."""
    grid = [(family, size) for family, sizes in SIZES.items() for size in sizes]
    ours_of = {
        stock_name(family, size): architecture_name(family, "baseline", size)
        for family, size in grid
        if (family, size) not in OWN_SIZES
    }
    stock_of = {architecture_name(family, "baseline", size): stock_name(family, size) for family, size in grid}
    pairs = {"baseline": ours_of, "stock": stock_of}.get(to)
    if pairs is None:
        raise CheckpointError(f"cannot convert to {to!r}: choose stock or baseline")
    if name in pairs:
        return pairs[name]
    if name in pairs.values():
        raise CheckpointError(f"{source}: its architecture {name} is {to} already")
    place = grid_place(name)
    if place is not None:
        family, variant, _ = place
        raise CheckpointError(
            f"{source}: its architecture {name} is of the variant {variant}, which stock fairseq does not have; only "
            f"{family}_baseline* has a stock counterpart (fold-checkpoint makes one of models with linear projections)"
        )
    raise CheckpointError(f"{source}: its architecture {name} has no counterpart; known: {', '.join(sorted(pairs))}")


def _duplicates(weights: Weights) -> list[str]:
    """The names of the fused layers' duplicates: those beside an attention's ``q_proj`` of the same layer."""
    layers = [name[: -len("self_attn.q_proj.weight")] for name in weights if name.endswith("self_attn.q_proj.weight")]
    return [layer + name for layer in layers for name in DUPLICATE_PARAMETERS if layer + name in weights]


def _convert_optimizer(checkpoint: Checkpoint, duplicates: list[str], to: str) -> str:
    """Renumber the optimizer's state without the duplicates' entries, or drop it; returns what was done.

    Optimizers number parameters in the model's order, which the checkpoint's names show: without buffers, and with
    shared tensors once.
    """
    optimizer, weights = checkpoint.state["last_optimizer_state"], checkpoint.weights
    if to == "baseline":
        parameters = []
        seen: set[Any] = set()
        for name, tensor in weights.items():
            identity = (tensor.data_ptr(), tuple(tensor.shape)) if tensor.numel() else (name,)
            if name.rpartition(".")[2] not in UNUSED and identity not in seen:
                seen.add(identity)
                parameters.append(name)
        kept = _renumbered(optimizer, parameters, set(duplicates), weights)
        if kept is not None:
            checkpoint.state["last_optimizer_state"] = kept
            return "kept the optimizer's state"
    checkpoint.drop_training()
    return "dropped the optimizer's state: go on with --reset-optimizer --reset-lr-scheduler"


def _renumbered(optimizer: Any, parameters: list[str], dropped: set[str], weights: Weights) -> dict[str, Any] | None:
    if not isinstance(optimizer, dict) or not {"state", "param_groups"} <= set(optimizer):
        return None
    groups = optimizer["param_groups"]
    if len(groups) != 1 or list(groups[0]["params"]) != list(range(len(parameters))):
        return None
    for index, entry in optimizer["state"].items():
        shape = weights[parameters[index]].shape
        moments = (entry.get(key) for key in ("exp_avg", "exp_avg_sq", "momentum_buffer"))
        if any(torch.is_tensor(moment) and moment.shape != shape for moment in moments):
            return None
    new_index: dict[int, int] = {}
    for index, name in enumerate(parameters):
        if name not in dropped:
            new_index[index] = len(new_index)
    entries = {new_index[index]: entry for index, entry in optimizer["state"].items() if index in new_index}
    group = {**groups[0], "params": list(range(len(new_index)))}
    return {**optimizer, "state": entries, "param_groups": [group]}
