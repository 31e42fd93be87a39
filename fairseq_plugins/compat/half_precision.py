"""``--fp16`` and ``--bf16`` where there is no GPU, and ``--bf16`` where there is one."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import torch

from .registry import mark, marked, repair


@repair("fairseq#4696")
def bfloat16_on_gpus() -> bool:
    """``--bf16`` stands for ``--tpu`` too, so on a GPU it dies of "no attribute 'xla_device'".

    On a GPU, without torch_xla, it means bfloat16 and nothing else, as ``common.bf16=true`` of fairseq-hydra-train
    does.
    """
    from fairseq import options

    original = options.parse_args_and_arch
    if marked(original):
        return True

    def parse_args_and_arch(parser: Any, input_args: Any = None, *rest: Any, **kwargs: Any) -> Any:
        parsed = original(parser, input_args, *rest, **kwargs)
        args = parsed[0] if isinstance(parsed, tuple) else parsed
        asked = "--tpu" in (sys.argv if input_args is None else input_args)
        if getattr(args, "bf16", False) and not (asked or _has_xla() or _on_cpu(args)):
            args.tpu = False
        return parsed

    options.parse_args_and_arch = mark(parse_args_and_arch, original)
    return True


@repair("fairseq#5296")
def half_precision_on_cpus() -> bool:
    """``--fp16`` and ``--bf16`` on a CPU die, after all data is loaded, of messages about CUDA and xla.

    Such a training ends before any work in a sentence that names what there is instead. What fairseq can do on a CPU,
    such as ``--memory-efficient-fp16``, goes on.
    """
    from fairseq.distributed import utils as distributed_utils

    original = distributed_utils.call_main
    if marked(original, "half_precision_on_cpus"):
        return True

    def call_main(cfg: Any, main: Callable, **kwargs: Any) -> None:
        refusal = _refusal(cfg, trains="validate_and_save" in getattr(inspect.unwrap(main), "__globals__", ()))
        if refusal:
            raise SystemExit(f"{os.path.basename(sys.argv[0])}: error: {refusal}")
        original(cfg, main, **kwargs)

    distributed_utils.call_main = mark(call_main, original, "half_precision_on_cpus")
    return True


def _refusal(cfg: Any, trains: bool) -> str | None:
    """Why a command cannot run on this machine with its options, and what can; None if it can."""
    common, on_cpu = cfg.common, _on_cpu(cfg.common)
    if trains and common.tpu and not _has_xla():
        if common.bf16 and on_cpu:
            return _without_gpu("--bf16", common)
        return "--tpu needs torch_xla, which is not installed: install it, or leave --tpu out"
    # What keeps the parameters in one piece asks CUDA for the current device.
    apart = common.memory_efficient_fp16 or common.fp16_no_flatten_grads
    if trains and common.fp16 and not (apart or cfg.distributed_training.ddp_backend == "fully_sharded"):
        return None if torch.cuda.is_available() else _without_gpu("--fp16", common)
    return None


def _without_gpu(option: str, common: Any) -> str:
    why = "--cpu is given" if common.cpu else "none was found"
    return (
        f"{option} trains on GPUs, and {why}: leave {option} out, or train in bfloat16 on the CPU with --autocast-bf16 "
        "and --criterion fused_cross_entropy or fused_label_smoothed_cross_entropy (scripts/train.sh --preset "
        "fast-bf16 sets both), or for a masked language model with --criterion autocast_masked_lm"
    )


def _on_cpu(common: Any) -> bool:
    return common.cpu or not torch.cuda.is_available()


def _has_xla() -> bool:
    from fairseq import utils

    return getattr(utils, "xm", None) is not None
