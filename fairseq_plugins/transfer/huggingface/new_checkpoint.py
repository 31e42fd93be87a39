"""What both imports share: a checkpoint that no training has saved yet, its parameters, and the files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from fairseq_plugins.checkpoints import CheckpointError, Weights
from fairseq_plugins.runtime.durable import write_whole

from .files import CONFIG


def training_config(task: Sequence[str], arch: str, arguments: Sequence[str], data: str) -> dict[str, Any]:
    """The configuration that a training of an architecture would save.

    Args:
        task: ``--task`` and ``--criterion``, as words.
        arch: the architecture.
        arguments: options of its model.
        data: the data folder that it names.
    """
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    parsed = options.parse_args_and_arch(options.get_training_parser(), [data, *task, "--arch", arch, *arguments])
    cfg: Any = OmegaConf.to_container(convert_namespace_to_omegaconf(parsed), resolve=True, enum_to_str=True)
    assert isinstance(cfg, dict)
    return cfg


def given(weights: Weights, name: str, folder: Path) -> Tensor:
    """A parameter of a folder's.

    Raises:
        CheckpointError: the folder has none of this name.
    """
    if name not in weights:
        raise CheckpointError(f"{folder}: no parameter {name} in its weights")
    return weights[name]


def set_parameter(parameter: Tensor, tensor: Tensor, name: str, folder: Path) -> None:
    """Give a parameter of the model the values that the folder has under ``name``, in place.

    Raises:
        CheckpointError: the shapes are not those that the folder's configuration means.
    """
    if tensor.shape != parameter.shape:
        shapes = f"{tuple(tensor.shape)}, but {CONFIG} means {tuple(parameter.shape)}"
        raise CheckpointError(f"{folder}: {name} is {shapes}")
    parameter.copy_(tensor)


def write_beside(target: Path, files: dict[str, bytes]) -> None:
    """Write files beside a checkpoint, but over no others.

    Raises:
        CheckpointError: one exists with other content.
        CorpusError: one cannot be written.
    """
    for name, content in files.items():
        path = target.with_name(name)
        if path.exists() and path.read_bytes() != content:
            raise CheckpointError(f"{path} exists with other content: name a checkpoint in a folder of its own")
    for name, content in files.items():
        write_whole(target.with_name(name), content)
