"""Where a checkpoint keeps the options of its model: namespaces, hydra configurations and plain dictionaries."""

from __future__ import annotations

from argparse import Namespace
from contextlib import nullcontext
from typing import Any

from omegaconf import OmegaConf, open_dict


def model_configs(state: dict[str, Any]) -> list[Any]:
    """Where a checkpoint keeps its model's options: ``args`` before 2020-11, ``cfg["model"]`` since; maybe both."""
    cfg = state.get("cfg")
    model = get_option(cfg, "model") if cfg is not None else None
    return [config for config in (state.get("args"), model) if config is not None]


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


def as_namespace(config: Any) -> Namespace:
    """The options of a namespace or a hydra config as a new namespace."""
    return Namespace(**(vars(config) if isinstance(config, Namespace) else dict(config)))


def delete_option(config: Any, key: str) -> None:
    """Take an option out of a namespace or a hydra config, if it is there."""
    if isinstance(config, Namespace):
        config.__dict__.pop(key, None)
    elif key in config:
        with open_dict(config) if OmegaConf.is_config(config) else nullcontext():
            del config[key]
