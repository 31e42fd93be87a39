"""Checkpoint files: the newest one of a folder that can be read, and conversion to and from stock fairseq."""

from __future__ import annotations

import inspect
import os
import pickle
import re
import zipfile
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from omegaconf import OmegaConf, open_dict

from fairseq_plugins.compat.encoder_layer import DUPLICATE_PARAMETERS

from . import safe_load
from .durable import replacing

#: the names that fairseq gives its checkpoints; averages and other files beside them are none to resume from
_NAMES = re.compile(r"checkpoint(\d+|_\d+_\d+|_last|_best|\.best_.+)\.pt")

PathLike = Union[str, "os.PathLike[str]"]


class CheckpointError(Exception):
    """A checkpoint that cannot be used or converted; the message says which and why."""


class Progress(NamedTuple):
    """How far a checkpoint's training was; later is greater.

    Attributes:
        updates: optimizer updates done.
        epoch: the epoch in which training goes on, from 1.
        iterations: batches of that epoch already consumed.
    """

    updates: int
    epoch: int
    iterations: int


def read_progress(path: PathLike) -> Progress:
    """How far a checkpoint's training was, from its metadata; weights are not read where torch can skip them.

    Raises:
        CheckpointError: no complete fairseq training checkpoint.
    """
    check_archive(path, whole=False)
    state = load_state(path, map_location="meta" if _can_skip_weights(path) else "cpu")
    try:
        updates = int(state["optimizer_history"][-1]["num_updates"])
        iterator = state["extra_state"]["train_iterator"]
        epoch, iterations = int(iterator["epoch"]), int(iterator["iterations_in_epoch"])
        if not isinstance(state["model"], dict) or not state["model"]:
            raise KeyError("model")
    except (KeyError, IndexError, TypeError) as error:
        raise CheckpointError(f"{path}: not a fairseq training checkpoint ({error!r} is missing)") from error
    return Progress(updates, epoch, iterations)


def verify(path: PathLike) -> None:
    """Read a checkpoint completely.

    Raises:
        CheckpointError: it is truncated or damaged (its checksums do not match, or it cannot be loaded).
    """
    check_archive(path, whole=True)
    if not zipfile.is_zipfile(path):  # the format before torch 1.6 has no checksums: only loading tells
        load_state(path)


def latest_checkpoint(
    save_dir: PathLike, name: str = "checkpoint_last.pt", report: Optional[Callable[[str], None]] = None
) -> Path:
    """The checkpoint of a folder whose training was furthest and that can be read completely.

    Args:
        save_dir: fairseq's ``--save-dir``.
        name: preferred among checkpoints that were equally far.
        report: called with one sentence for each file that cannot be used, and for a choice other than ``name``.

    Raises:
        CheckpointError: there is none.
    """
    folder = Path(save_dir)
    report = report or (lambda sentence: None)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    found: List[Tuple[Progress, bool, bool, Path]] = []
    broken = 0
    for path in sorted(folder.glob("*.pt")):
        if path.name != name and not _NAMES.fullmatch(path.name):
            continue
        try:
            progress = read_progress(path)
        except CheckpointError as error:
            broken += 1
            report(str(error))
        else:
            found.append((progress, path.name == name, "best" not in path.name, path))
    for progress, preferred, _, path in sorted(found, reverse=True):
        try:
            verify(path)
        except CheckpointError as error:
            broken += 1
            report(str(error))
            continue
        if not preferred:
            report(f"using {path} ({progress.updates} updates) instead of {folder / name}")
        return path
    if broken:
        raise CheckpointError(f"{folder}: none of its {broken} checkpoints can be read")
    raise CheckpointError(f"{folder}: no checkpoint in it")


def check_archive(path: PathLike, whole: bool) -> None:
    """Whether the file is as long as it says, and for ``whole`` whether its checksums match."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(4)
        if not start:
            raise CheckpointError(f"{path}: empty file")
        if start != b"PK\x03\x04":
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() if whole else None
    except (zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    if damaged is not None:
        raise CheckpointError(f"{path}: damaged (the checksum of {damaged} does not match)")


def load_state(path: PathLike, map_location: str = "cpu") -> Dict[str, Any]:
    """What a checkpoint holds, by the allow-list.

    Raises:
        CheckpointError: it holds more than that, or is truncated, damaged or no checkpoint.
    """
    try:
        state = safe_load.load_checkpoint(path, map_location)
    except safe_load.UntrustedCheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise CheckpointError(f"{path}: truncated or damaged ({reason})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a fairseq checkpoint (it holds a {type(state).__name__})")
    return state


def _can_skip_weights(path: PathLike) -> bool:
    """torch >= 2.1 leaves an archive's tensors for the meta device unread; ``mmap`` came with it."""
    return "mmap" in inspect.signature(torch.load).parameters and zipfile.is_zipfile(path)


# ---------------------------------------------------------------------------------------------- conversion


def convert_checkpoint(source: PathLike, target: PathLike, to: str) -> List[str]:
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
    from .transfer.probe import check_states
    from .transfer.state import model_part, read

    state = read(source)
    original = model_part(state)
    notes = _convert(state, to, str(source))
    check_states(original, state, str(source), f"its {to} form")
    save_state(state, Path(target))
    return notes


def _convert(state: Dict[str, Any], to: str, source: str) -> List[str]:
    configs = model_configs(state)
    old = next((name for name in (get_option(c, "arch") or get_option(c, "_name") for c in configs) if name), None)
    if not isinstance(old, str) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{source}: no fairseq checkpoint that names its architecture")
    new = _counterpart(old, to, source)
    notes = [f"architecture {old} -> {new}"]
    if to == "stock":
        forget_plugin(state, configs, source)
    for config in configs:
        for key in ("arch", "_name"):
            if get_option(config, key) is not None:
                set_option(config, key, new)

    names = list(state["model"])
    duplicates = _duplicates(state["model"])
    if state.get("last_optimizer_state") is not None:
        notes.append(_convert_optimizer(state, names, duplicates, to))
    ema = state.get("extra_state", {}).get("ema")
    for weights in [state["model"], *([ema] if isinstance(ema, dict) else [])]:
        for name in duplicates:
            weights.pop(name, None)
    if duplicates:
        notes.append(f"dropped {len(duplicates)} duplicate parameters of fairseq's fused encoder layers")
    return notes


def override_attention(state: Dict[str, Any], overrides: Dict[str, Any], source: str) -> None:
    """Give a loaded checkpoint the options of this plugin's models among ``overrides``, in place.

    A stock model becomes the ``baseline`` of its family; all its other options are fairseq's to override. A model of
    this plugin gets every option that its parser has, whether or not its configuration names it.

    Raises:
        CheckpointError: a stock model of a family that this plugin does not have.
    """
    from fairseq_plugins.attention.config import attention_options
    from fairseq_plugins.models.option_names import parser_option_names, plugin_option_names

    ours = own_architecture(state)
    names = parser_option_names(ours) if ours else plugin_option_names()
    chosen = {name: value for name, value in overrides.items() if name in names}
    if not chosen:
        return
    if not ours:
        try:
            _convert(state, "baseline", source)
        except CheckpointError:
            if chosen.keys() & set(attention_options()):
                raise
            return  # some other model's option of that name
    for config in model_configs(state):
        for name, value in chosen.items():
            set_option(config, name, value)


def model_configs(state: Dict[str, Any]) -> List[Any]:
    """Where a checkpoint keeps its model's options: ``args`` before 2020-11, ``cfg["model"]`` since; maybe both."""
    cfg = state.get("cfg")
    model = get_option(cfg, "model") if cfg is not None else None
    return [config for config in (state.get("args"), model) if config is not None]


def own_architecture(state: Dict[str, Any]) -> str:
    """The architecture's name if it is one of this plugin's; else nothing."""
    from .models.grid import is_ours

    names = (str(get_option(config, key)) for config in model_configs(state) for key in ("arch", "_name"))
    return next(filter(is_ours, names), "")


def get_option(config: Any, key: str) -> Any:
    """An option of a namespace or a hydra config; None if it is not there."""
    return getattr(config, key, None) if isinstance(config, Namespace) else config.get(key)


def set_option(config: Any, key: str, value: Any) -> None:
    """Set an option of a namespace or a hydra config."""
    if isinstance(config, Namespace):
        setattr(config, key, value)
        return
    with open_dict(config) if OmegaConf.is_config(config) else nullcontext():
        config[key] = value


def _delete(config: Any, key: str) -> None:
    if isinstance(config, Namespace):
        config.__dict__.pop(key, None)
    elif key in config:
        with open_dict(config) if OmegaConf.is_config(config) else nullcontext():
            del config[key]


def _counterpart(name: str, to: str, source: str) -> str:
    """``transformer_tiny`` <-> ``transformer_baseline_tiny``; a size that fairseq has not is its family's default."""
    from fairseq_plugins.models.grid import OWN_SIZES, SIZES, VARIANTS, architecture_name, stock_name

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
    for family in SIZES:
        for variant in VARIANTS:
            prefix = f"{family}_{variant}"
            if name == prefix or name.startswith(prefix + "_"):
                raise CheckpointError(
                    f"{source}: its architecture {name} is of the variant {variant}, which stock fairseq does not "
                    f"have; only {family}_baseline* has a stock counterpart (fold-checkpoint makes one of symmetric "
                    "and pairwise models)"
                )
    raise CheckpointError(f"{source}: its architecture {name} has no counterpart; known: {', '.join(sorted(pairs))}")


def forget_plugin(state: Dict[str, Any], configs: List[Any], source: str) -> None:
    """Check that the model is vanilla in spite of any option, and delete what stock fairseq does not know."""
    from fairseq_plugins.attention.config import AttentionConfig, attention_options
    from fairseq_plugins.models.conventions import convention_defaults
    from fairseq_plugins.models.options import SPEED_OPTIONS
    from fairseq_plugins.models.scales import SCALES

    conventions = convention_defaults()
    for config in configs:
        options = Namespace(**(vars(config) if isinstance(config, Namespace) else dict(config)))
        chosen, vanilla = AttentionConfig.from_options(options).choices, AttentionConfig().choices
        changed = [stage for stage in vanilla if chosen[stage] != vanilla[stage]]
        if changed or getattr(options, "match_parameters_of", None):
            what = f"--attention-{changed[0]} {getattr(options, f'attention_{changed[0]}')}" if changed else ""
            what = what or f"--match-parameters-of {options.match_parameters_of}"
            raise CheckpointError(f"{source}: trained with {what}, which stock fairseq does not have")
        unknown = [name for name, stock in conventions.items() if getattr(options, name, None) not in (None, stock)]
        if getattr(options, "activation_fn", None) == "swish":
            unknown.append("activation_fn")
        if unknown:
            what = f"--{unknown[0].replace('_', '-')} {getattr(options, unknown[0])}"
            raise CheckpointError(f"{source}: trained with {what}, which stock fairseq does not have")
        for name in (*attention_options(), *conventions, *SPEED_OPTIONS, "match_parameters_of", "user_dir"):
            _delete(config, name)
        for name, scale in SCALES.items():  # a namespace hands them to stock's layers, and ours have none
            if get_option(config, name) and not any(f".{scale}" in weight for weight in state["model"]):
                set_option(config, name, False)
    cfg = state.get("cfg")
    common = get_option(cfg, "common") if cfg is not None else None
    if common is not None:
        set_option(common, "user_dir", None)


def _duplicates(weights: Dict[str, Any]) -> List[str]:
    """The names of the fused layers' duplicates: those beside an attention's ``q_proj`` of the same layer."""
    layers = [name[: -len("self_attn.q_proj.weight")] for name in weights if name.endswith("self_attn.q_proj.weight")]
    return [layer + name for layer in layers for name in DUPLICATE_PARAMETERS if layer + name in weights]


def _convert_optimizer(state: Dict[str, Any], names: List[str], duplicates: List[str], to: str) -> str:
    """Renumber the optimizer's state without the duplicates' entries, or drop it; returns what was done.

    Optimizers number parameters in the model's order, which the checkpoint's names show: without buffers, and with
    shared tensors once.
    """
    optimizer = state["last_optimizer_state"]
    if to == "baseline":
        parameters = []
        seen = set()
        for name in names:
            tensor = state["model"][name]
            identity = (tensor.data_ptr(), tuple(tensor.shape)) if tensor.numel() else (name,)
            if name.rpartition(".")[2] not in ("version", "_float_tensor") and identity not in seen:
                seen.add(identity)
                parameters.append(name)
        kept = _renumbered(optimizer, parameters, set(duplicates), state["model"])
        if kept is not None:
            state["last_optimizer_state"] = kept
            return "kept the optimizer's state"
    state["last_optimizer_state"] = None
    return "dropped the optimizer's state: go on with --reset-optimizer --reset-lr-scheduler"


def _renumbered(optimizer: Any, parameters: List[str], dropped: set, weights: Dict[str, Any]) -> Optional[Dict]:
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
    new_index: Dict[int, int] = {}
    for index, name in enumerate(parameters):
        if name not in dropped:
            new_index[index] = len(new_index)
    entries = {new_index[index]: entry for index, entry in optimizer["state"].items() if index in new_index}
    group = {**groups[0], "params": list(range(len(new_index)))}
    return {**optimizer, "state": entries, "param_groups": [group]}


def save_state(state: Dict[str, Any], target: Path) -> None:
    """``torch.save`` into a file that takes the target's name when it is complete, and its folder if that is missing.

    Raises:
        DiskFullError: there is no room; what stood there is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(str(target)) as stream:
        torch.save(state, stream)
