"""Training in several processes on a CPU, and stopping in order."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import torch

from .registry import mark, marked, repair


@repair("fairseq#2879")
def cpu_data_parallel() -> bool:
    """``--ddp-backend pytorch_ddp``, the default, names a GPU for a model that is on the CPU and stops."""
    from fairseq.models import distributed_fairseq_model as module

    module.DistributedDataParallel = DistributedDataParallel
    return True


class DistributedDataParallel(torch.nn.parallel.DistributedDataParallel):
    """torch's, which takes a model on the CPU whatever GPU is named; same arguments."""

    def __init__(
        self, module: torch.nn.Module, device_ids: Any = None, output_device: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        if all(parameter.device.type == "cpu" for parameter in module.parameters()):
            device_ids = output_device = None
        super().__init__(module, device_ids, output_device, *args, **kwargs)


@repair("fairseq#2879")
def cpu_processes() -> bool:
    """``--cpu --distributed-world-size 2`` stops because there are fewer GPUs than processes.

    The processes are started on the CPU and talk by gloo.
    """
    from fairseq.distributed import utils as distributed_utils
    from omegaconf import open_dict

    original = distributed_utils.call_main
    if marked(original):
        return True

    def call_main(cfg: Any, main: Callable, **kwargs: Any) -> None:
        training = cfg.distributed_training
        processes = training.distributed_world_size
        started = training.distributed_no_spawn or "RANK" in os.environ  # torchrun and Slurm start them themselves
        elsewhere = training.distributed_init_method is not None or training.distributed_port > 0 or cfg.common.tpu
        if not cfg.common.cpu or processes < 2 or started or elsewhere:
            original(cfg, main, **kwargs)
            return
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        with open_dict(training):
            training.distributed_backend = "gloo"
            training.distributed_init_method = f"tcp://localhost:{port}"
            training.distributed_num_procs = processes
            training.distributed_rank = None  # each process takes its own
        kwargs["start_rank"] = 0
        torch.multiprocessing.spawn(
            fn=distributed_utils.distributed_main, args=(main, cfg, kwargs), nprocs=processes, join=True
        )

    distributed_utils.call_main = mark(call_main, original)
    return True


@repair("none known")
def stop_in_order() -> bool:
    """SIGTERM, which clusters send before they take a machine away, loses all since the last checkpoint.

    The training ends after an update with its checkpoint saved: :mod:`fairseq_plugins.runtime.stopping`.
    """
    from fairseq_plugins.runtime import stopping

    # Importing fairseq_cli.train would set up logging in programs that do not train; it is __main__ under python -m.
    modules = [sys.modules.get(name) for name in ("fairseq_cli.train", "__main__")]
    programs = [vars(module) for module in modules if hasattr(module, "validate_and_save")]
    for program in programs:
        if not marked(program["validate_and_save"]):
            for name, wrap in stopping.WRAPPERS.items():
                program[name] = mark(wrap(program[name]), program[name])
    return bool(programs)
