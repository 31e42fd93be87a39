"""A checkpoint in memory: read completely, its model's options and weights, written whole or not at all."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, List, Tuple

from torch import Tensor

from fairseq_plugins.checkpoints import (
    CheckpointError,
    PathLike,
    check_archive,
    forget_plugin,
    get_option,
    load_state,
    model_configs,
    save_state,
    set_option,
)

Weights = Dict[str, Tensor]
#: endings of buffers that no output depends on
UNUSED = ("version", "_float_tensor")


def read(path: PathLike) -> Dict[str, Any]:
    """The state that a fairseq training saved.

    Raises:
        CheckpointError: it cannot be read completely, holds no model, or does not name its architecture.
    """
    check_archive(path, whole=True)
    state = load_state(path)
    if not isinstance(state.get("model"), dict) or not model_configs(state) or not architecture(state):
        raise CheckpointError(f"{path}: no fairseq checkpoint that names its architecture")
    return state


def write(state: Dict[str, Any], path: PathLike) -> None:
    """Save a state; the file appears complete or not at all."""
    save_state(state, Path(path))


def architecture(state: Dict[str, Any]) -> str:
    """The architecture's name, such as ``roberta_pairwise_base``; empty if the state has none."""
    names = (get_option(config, key) for config in model_configs(state) for key in ("arch", "_name"))
    return next((str(name) for name in names if name), "")


def grid_place(arch: str) -> Tuple[str, str, str]:
    """``"roberta_pairwise_base"`` -> ``("roberta", "pairwise", "base")``: family, variant and size.

    Raises:
        CheckpointError: the plugin has no such architecture.
    """
    from fairseq_plugins.models.grid import SIZES, VARIANTS, architecture_name

    for family, sizes in SIZES.items():
        for variant in VARIANTS:
            for size in sizes:
                if architecture_name(family, variant, size) == arch:
                    return family, variant, size
    raise CheckpointError(f"the plugin has no architecture {arch}")


def model_options(state: Dict[str, Any]) -> Namespace:
    """The model's options as a new namespace."""
    config = model_configs(state)[-1]
    return Namespace(**(vars(config) if isinstance(config, Namespace) else dict(config)))


def model_part(state: Dict[str, Any]) -> Dict[str, Any]:
    """The model alone as a state of its own: what is changed in ``state``, except inside a tensor, stays here."""
    cfg = {"model": model_options(state)} if state.get("cfg") is not None else None
    args = None if cfg is not None else model_options(state)
    return {"model": dict(state["model"]), "args": args, "cfg": cfg}


def check_float(state: Dict[str, Any], source: str) -> None:
    """Check that the model computes with its weights, and not with what ``--quant-noise-scalar`` makes of them.

    Raises:
        CheckpointError: fairseq runs it with weights and activations of 8 bits.
    """
    if getattr(model_options(state), "quant_noise_scalar", None):
        raise CheckpointError(
            f"{source}: trained with --quant-noise-scalar, with which fairseq rounds weights and activations to 8 bits "
            "whenever it runs the model: nothing else computes the same"
        )


def set_options(state: Dict[str, Any], **options: Any) -> None:
    """Set options of the model wherever the state keeps them."""
    for config in model_configs(state):
        for name, value in options.items():
            set_option(config, name, value)


def to_stock_options(state: Dict[str, Any], arch: str, source: str) -> None:
    """Name a stock architecture and delete every option that stock fairseq does not know.

    Raises:
        CheckpointError: an option changes attention in a way that stock fairseq does not have.
    """
    forget_plugin(state, model_configs(state), source)
    for config in model_configs(state):
        for key in ("arch", "_name"):
            if get_option(config, key) is not None:
                set_option(config, key, arch)


def drop_training(state: Dict[str, Any]) -> None:
    """Forget the optimizer's state, which belongs to the former parameters."""
    state["last_optimizer_state"] = None


def averages(state: Dict[str, Any]) -> List[Weights]:
    """The moving averages of the weights, if the training kept some (``--store-ema``)."""
    extra = state.get("extra_state") or {}
    return [extra[name] for name in ("ema", "ema_fp32_params") if isinstance(extra.get(name), dict)]


def begin_training(state: Dict[str, Any], options: Namespace, weights: Weights) -> None:
    """Put another model in a state, as at update 0 of its training; everything that is not the model's stays."""
    cfg = state.get("cfg")
    if state.get("args") is not None:
        state["args"] = options
    if cfg is not None:
        plain = isinstance(get_option(cfg, "model"), Namespace)
        set_option(cfg, "model", options if plain else dict(vars(options)))
    history = (state.get("optimizer_history") or [{}])[-1]
    names = {name: history.get(name) for name in ("criterion_name", "optimizer_name")}
    state["model"] = weights
    state["optimizer_history"] = [{**names, "lr_scheduler_state": {}, "num_updates": 0}]
    state["extra_state"] = {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0, "shuffle": True}}
    drop_training(state)
