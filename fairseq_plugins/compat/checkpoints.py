"""Checkpoints: reading them safely, overriding their attention, writing them whole."""

from __future__ import annotations

import functools
import os
from typing import Any

import torch

from .registry import mark, marked, repair, see


@repair("fairseq#5603, fairseq#5610")
def checkpoint_loading() -> bool:
    """torch refuses fairseq's checkpoints, and reads them only where it runs whatever a checkpoint says.

    The two functions of ``fairseq.checkpoint_utils`` that read files see a ``torch.load`` that builds only what
    fairseq's checkpoints hold (:mod:`fairseq_plugins.checkpoints.safe_load`); ``torch.load`` itself stays as it is.
    """
    from fairseq import checkpoint_utils

    from fairseq_plugins.checkpoints import safe_load

    def load(f: Any, map_location: Any = None, *_: Any, **__: Any) -> Any:
        return safe_load.load_checkpoint(f, map_location)

    see(checkpoint_utils, "torch", load=load)
    return True


@repair("none known")
def attention_overrides() -> bool:
    """``--model-overrides`` only reaches options that a checkpoint's own model has, and passes over all others.

    So attention could be changed at evaluation neither in a stock checkpoint nor in one of fairseq-hydra-train. Where
    options of this plugin's models are overridden, a stock checkpoint is loaded as its ``baseline`` counterpart. Names
    that reach nothing are refused (:mod:`fairseq_plugins.checkpoints.overrides`).
    """
    from fairseq import checkpoint_utils

    original = checkpoint_utils.load_checkpoint_to_cpu
    if marked(original):
        return True

    def load(path: Any, arg_overrides: Any = None, load_on_all_ranks: bool = False) -> Any:
        from fairseq_plugins.checkpoints import Checkpoint
        from fairseq_plugins.checkpoints.overrides import check_overrides, override_attention

        state = original(path, arg_overrides, load_on_all_ranks)
        check_overrides(Checkpoint(str(path), state), arg_overrides or {})
        override_attention(Checkpoint(str(path), state), arg_overrides or {})
        return state

    checkpoint_utils.load_checkpoint_to_cpu = mark(load, original)
    return True


@repair("fairseq#5603")
def broadcast_loading() -> bool:
    """torch refuses the objects that processes of one training send each other (resuming with several).

    They come from a process of the same job, which sends plain pickles elsewhere too (``all_gather_list``), and
    the checkpoint that they were made of went through the allow-list; so Python's own pickle reads them.
    """
    from fairseq.distributed import utils as distributed_utils

    see(distributed_utils, "torch", load=functools.partial(torch.load, weights_only=False))
    return True


@repair("none known")
def durable_checkpoints() -> bool:
    """An interrupt or a full disk can leave half a checkpoint, or one that is lost with the power.

    fairseq renames the file that it writes, but neither syncs it nor does so for the copies (``checkpoint_last.pt``,
    ``checkpoint_best.pt``), and it writes a failed file three times.
    """
    from fairseq import checkpoint_utils, file_io

    from fairseq_plugins.runtime.durable import copy_durably, replacing

    original = checkpoint_utils.torch_persistent_save
    if marked(original):
        return True

    def torch_persistent_save(obj: Any, filename: Any, async_write: bool = False) -> None:
        if async_write or file_io.IOPathManager or not isinstance(filename, str):
            original(obj, filename, async_write)
            return
        with replacing(filename) as file:
            torch.save(obj, file)

    class PathManager(checkpoint_utils.PathManager):  # type: ignore[name-defined]
        @staticmethod
        def copy(src_path: str, dst_path: str, overwrite: bool = False) -> Any:
            plain = isinstance(src_path, (str, os.PathLike)) and isinstance(dst_path, (str, os.PathLike))
            if file_io.IOPathManager or not plain or (os.path.exists(dst_path) and not _is_another(dst_path, src_path)):
                return file_io.PathManager.copy(src_path, dst_path, overwrite)
            copy_durably(os.fspath(src_path), os.path.realpath(dst_path))  # a link stays one
            return dst_path

    checkpoint_utils.PathManager = PathManager
    checkpoint_utils.torch_persistent_save = mark(torch_persistent_save, original)
    return True


def _is_another(target: Any, source: Any) -> bool:
    """Whether a name belongs to a file, no folder or device, which is not the source itself."""
    return os.path.isfile(target) and not (os.path.exists(source) and os.path.samefile(source, target))
