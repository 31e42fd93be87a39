"""A checkpoint in memory: read completely, its model's options and weights, written whole or not at all."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import replacing

from .options import as_namespace, get_option, model_configs, set_option
from .reading import CheckpointError, check_archive, load_state

Weights = dict[str, Tensor]
#: endings of buffers that no output depends on
UNUSED = ("version", "_float_tensor")


@dataclass
class Checkpoint:
    """What a fairseq training saved; whatever changes it, changes ``state``.

    Attributes:
        name: what it is called in messages, its file.
        state: what the file holds.
    """

    name: str
    state: dict[str, Any]

    @classmethod
    def read(cls, path: PathLike) -> Checkpoint:
        """Read a file.

        Raises:
            CheckpointError: it cannot be read completely, holds no model, or does not name its architecture.
        """
        check_archive(path, whole=True)
        found = cls(str(path), load_state(path))
        if not isinstance(found.state.get("model"), dict) or not found.architecture:
            raise CheckpointError(f"{path}: no fairseq checkpoint that names its architecture")
        return found

    def write(self, path: PathLike) -> None:
        """Save it, in a new folder if need be; the file appears complete or not at all.

        Raises:
            DiskFullError: there is no room; what stood there is untouched.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(str(path)) as stream:
            torch.save(self.state, stream)

    @property
    def weights(self) -> Weights:
        """The model's parameters and buffers by name."""
        weights: Weights = self.state["model"]
        return weights

    @property
    def dtype(self) -> torch.dtype:
        """The type of the token embeddings, which is the model's."""
        return next(weight.dtype for name, weight in self.weights.items() if name.endswith("embed_tokens.weight"))

    @property
    def configs(self) -> list[Any]:
        """Wherever the state keeps the model's options."""
        return model_configs(self.state)

    @property
    def architecture(self) -> str:
        """The architecture's name, such as ``roberta_pairwise_base``; empty if the state has none."""
        names = (get_option(config, key) for config in self.configs for key in ("arch", "_name"))
        return next((str(name) for name in names if name), "")

    @property
    def options(self) -> Namespace:
        """The model's options as a new namespace."""
        return as_namespace(self.configs[-1])

    @property
    def task(self) -> str:
        """The name of the task that the model was trained for; empty if the state has none."""
        config = self._task_config()
        found = config if isinstance(config, str) else get_option(config, "_name") if config is not None else None
        return str(found or getattr(self.state.get("args"), "task", None) or "")

    @property
    def task_options(self) -> Any:
        """The options of its task, for :func:`.options.get_option`: those of ``cfg``, else ``args``, else none."""
        config = self._task_config()
        named = config is None or isinstance(config, str)
        return (self.state.get("args") or Namespace()) if named else config

    def _task_config(self) -> Any:
        cfg = self.state.get("cfg")
        return get_option(cfg, "task") if cfg is not None else None

    def refuse(self, obstacles: Sequence[str]) -> None:
        """Stop with all sentences about why it cannot be used, if there are any.

        Raises:
            CheckpointError: there are some.
        """
        if obstacles:
            raise CheckpointError(f"{self.name}: {'; '.join(obstacles)}")

    def called(self, name: str) -> Checkpoint:
        """The same state under another name."""
        return replace(self, name=name)

    def model_part(self) -> Checkpoint:
        """The model alone as a checkpoint: what is changed in this one, except inside a tensor, does not reach it."""
        cfg = {"model": self.options} if self.state.get("cfg") is not None else None
        args = None if cfg is not None else self.options
        return Checkpoint(self.name, {"model": dict(self.weights), "args": args, "cfg": cfg})

    def set_options(self, **options: Any) -> None:
        """Set options of the model wherever the state keeps them."""
        for config in self.configs:
            for name, value in options.items():
                set_option(config, name, value)

    def rename_architecture(self, arch: str) -> None:
        """Name another architecture wherever the state names one."""
        for config in self.configs:
            for key in ("arch", "_name"):
                if get_option(config, key) is not None:
                    set_option(config, key, arch)

    def drop_training(self) -> None:
        """Forget the optimizer's state, which belongs to the former parameters."""
        self.state["last_optimizer_state"] = None

    @property
    def averages(self) -> list[Weights]:
        """The moving averages of the weights, if the training kept some (``--store-ema``)."""
        extra = self.state.get("extra_state") or {}
        return [extra[name] for name in ("ema", "ema_fp32_params") if isinstance(extra.get(name), dict)]

    def begin_training(self, options: Namespace, weights: Weights) -> None:
        """Put another model in, as at update 0 of its training; everything that is not the model's stays."""
        cfg = self.state.get("cfg")
        if self.state.get("args") is not None:
            self.state["args"] = options
        if cfg is not None:
            plain = isinstance(get_option(cfg, "model"), Namespace)
            set_option(cfg, "model", options if plain else dict(vars(options)))
        history = (self.state.get("optimizer_history") or [{}])[-1]
        names = {name: history.get(name) for name in ("criterion_name", "optimizer_name")}
        self.state["model"] = weights
        self.state["optimizer_history"] = [{**names, "lr_scheduler_state": {}, "num_updates": 0}]
        self.state["extra_state"] = {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0, "shuffle": True}}
        self.drop_training()
