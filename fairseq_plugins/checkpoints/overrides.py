"""``--model-overrides``: names that reach nothing are refused, and values that a trained model cannot take are named.

fairseq passes over what it does not know, and a number from an unchanged model looks like any other.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf

from fairseq_plugins.attention.config import attention_options
from fairseq_plugins.models import option_names
from fairseq_plugins.models.grid import is_ours

from .checkpoint import Checkpoint
from .convert import convert
from .options import get_option
from .reading import CheckpointError


def check_overrides(checkpoint: Checkpoint, overrides: dict[str, Any]) -> None:
    """Check that each override's name is one that the checkpoint's configuration has or that anything of fairseq takes.

    For models of this plugin every other name is refused, for others (whose code may read whatever it is given) those
    near to an option of this plugin.

    Raises:
        CheckpointError: a name is refused, or the options of a section are given where there are no sections.
    """
    cfg = checkpoint.state.get("cfg")
    ours = bool(own_architecture(checkpoint))
    names = [*overrides, *_in_sections(cfg, overrides, ours, checkpoint.name)]
    unknown = set(names) - set(_names(cfg))
    if not unknown:
        return
    known = option_names.family_option_names() | option_names.fairseq_option_names(models=[] if ours else None)
    for name in names:
        if name not in unknown - known:
            continue
        hint = option_names.suggestion(name, known if ours else option_names.plugin_option_names())
        if ours or hint:
            raise CheckpointError(f"{checkpoint.name}: no option has the name {name!r} that is to be overridden{hint}")


def _names(config: Any) -> Iterator[str]:
    """The keys of a hydra configuration and its sections; not of namespaces, where overrides stand already."""
    if OmegaConf.is_config(config):
        config = OmegaConf.to_container(config, resolve=False)
    if isinstance(config, dict):
        for name, value in config.items():
            yield str(name)
            yield from _names(value)


def _in_sections(cfg: Any, overrides: dict[str, Any], ours: bool, source: str) -> list[str]:
    """The names in sections that are given as a whole, such as ``{'model': {...}}``, which only hydra's have."""
    names: list[str] = []
    for section, options in overrides.items():
        if not isinstance(options, dict) or cfg is None or section not in cfg:
            continue
        if isinstance(cfg[section], Namespace) if ours else option_names.plugin_option_names() & options.keys():
            raise CheckpointError(
                f"{source}: {section!r} cannot be overridden as a whole: give {', '.join(map(repr, options))} alone"
            )
        names += options
    return names


def override_attention(checkpoint: Checkpoint, overrides: dict[str, Any]) -> None:
    """Give a loaded checkpoint the options of this plugin's models among ``overrides``, in place.

    A stock model becomes the ``baseline`` of its family; all its other options are fairseq's to override. A model of
    this plugin gets every option that its parser has, whether or not its configuration names it.

    Raises:
        CheckpointError: a stock model of a family that this plugin does not have.
    """
    ours = own_architecture(checkpoint)
    names = option_names.parser_option_names(ours) if ours else option_names.plugin_option_names()
    chosen = {name: value for name, value in overrides.items() if name in names}
    if not chosen:
        return
    if not ours:
        try:
            convert(checkpoint, "baseline")
        except CheckpointError:
            if chosen.keys() & set(attention_options()):
                raise
            return  # some other model's option of that name
    checkpoint.set_options(**chosen)


def own_architecture(checkpoint: Checkpoint) -> str:
    """The architecture's name if it is one of this plugin's; else nothing."""
    names = (str(get_option(config, key)) for config in checkpoint.configs for key in ("arch", "_name"))
    return next(filter(is_ours, names), "")


def misfit(checkpoint: Checkpoint, overrides: dict[str, Any]) -> str:
    """Which overrides differ from what a model was trained with: ``"attention_projection='neural' (trained: ...)"``."""
    changed = []
    for name in sorted(option_names.family_option_names() & overrides.keys()):
        found = [get_option(config, name) for config in checkpoint.configs]
        trained = next((value for value in found if value is not None), None)
        if overrides[name] != trained:
            changed.append(f"{name}={overrides[name]!r}" + ("" if trained is None else f" (trained: {trained!r})"))
    return ", ".join(changed)
