"""Several processes, and stopping in order."""

import sys
from types import SimpleNamespace

import torch
from answers import Purpose, repaired
from fairseq.distributed import utils as distributed_utils
from fairseq.models import distributed_fairseq_model
from fairseq_cli import train
from omegaconf import OmegaConf


def wrapped(*arguments, **kwargs):
    """Output and gradient of a data-parallel model of one process on the CPU."""

    def trained():
        torch.manual_seed(1)
        model = torch.nn.Linear(2, 2)
        ddp = distributed_fairseq_model.DistributedDataParallel(model, *arguments, **kwargs)
        ddp(torch.ones(1, 2)).sum().backward()
        kinds = torch.nn.parallel.DistributedDataParallel, distributed_fairseq_model.DistributedDataParallel
        named = [type(ddp).__name__, *(isinstance(ddp, kind) for kind in kinds)]
        return named, ddp.broadcast_buffers, model.weight.grad.tolist()

    def call(folder):
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=0, world_size=1)
        try:
            return trained()  # nothing of it must outlive the group
        finally:
            torch.distributed.destroy_process_group()

    return call


def started(main=lambda cfg, **kwargs: kwargs, by_keywords=False, more=None):
    """What call_main returns, and what main was called with."""

    def call(_):
        seen = []

        def entry(cfg, **kwargs):
            seen.append((cfg.distributed_training.distributed_world_size, kwargs))
            return main(cfg, **kwargs)

        training = {"distributed_world_size": 1, "distributed_init_method": None, "distributed_port": 0}
        options = dict.fromkeys(("distributed_no_spawn", "pipeline_model_parallel", "tpu"), False)
        precision = ("fp16", "bf16", "tpu", "memory_efficient_fp16", "fp16_no_flatten_grads")
        cfg = SimpleNamespace(
            common=SimpleNamespace(cpu=True, **dict.fromkeys(precision, False)),
            distributed_training=OmegaConf.create({**training, **options}),
        )
        if by_keywords:
            result = distributed_utils.call_main(cfg=cfg, main=entry, **(more or {}))
        else:
            result = distributed_utils.call_main(cfg, entry, **(more or {}))
        return result, seen

    return call


class Trainer:
    """As much of a trainer as fairseq_cli.train asks for at the end of an epoch without validation."""

    data_parallel_world_size = 1
    updates = 3

    def get_num_updates(self):
        return self.updates

    def cumulative_training_time(self):
        return 1.0

    def begin_epoch(self, epoch):
        self.epoch = epoch

    def valid_step(self, *_):
        return "validated"

    def get_lr(self):
        return 0.5


def functions():
    """fairseq_cli.train, with what is made of it once it is imported."""
    if repaired():
        sys.modules["fairseq_plugins.compat"].apply()
    return train


def settings(stop_time_hours):
    dataset = ("validate_interval", "validate_interval_updates", "validate_after_updates")
    return SimpleNamespace(
        optimization=SimpleNamespace(max_update=4, stop_time_hours=stop_time_hours),
        checkpoint=SimpleNamespace(no_save=True, save_interval=1, save_interval_updates=0),
        dataset=SimpleNamespace(disable_validation=True, **dict.fromkeys(dataset, 0)),
    )


def after_update(*arguments, updates=3, hours=0, **kwargs):
    def call(_):
        trainer = Trainer()
        trainer.updates = updates
        epoch = SimpleNamespace(epoch=1, next_epoch_idx=2)
        return functions().validate_and_save(settings(hours), trainer, None, epoch, *arguments, **kwargs)

    return call


def without_arguments(name):
    return lambda _: getattr(functions(), name)()


CONTRACTS = {
    "cpu_data_parallel": {
        "as fairseq calls it": wrapped(broadcast_buffers=False, bucket_cap_mb=25, find_unused_parameters=False),
        "defaults": wrapped(),
        "by position": wrapped(None, None, 0, False),
        "no device": wrapped(device_ids=None, output_device=None),
        "an unknown argument": wrapped(nobodys=1),
        "no module": lambda _: distributed_fairseq_model.DistributedDataParallel(),
        "a GPU that is not there": Purpose(
            wrapped(device_ids=[0], output_device=0),
            (["DistributedDataParallel", True, True], True, [[1.0, 1.0], [1.0, 1.0]]),
        ),
    },
    "cpu_processes": {
        "one process": started(),
        "by keywords": started(by_keywords=True),
        "arguments of main": started(more={"config_path": "a"}),
        "main fails": started(main=lambda cfg: cfg.nobodys),
        "no main": lambda _: distributed_utils.call_main(),
    },
    "stop_in_order": {
        "after an update": after_update([], False),
        "after an epoch": after_update([], end_of_epoch=True),
        "by keywords": after_update(valid_subsets=["valid"], end_of_epoch=False),
        "after the last update": after_update([], False, updates=4),
        "after the time": after_update([], False, hours=1e-9),
        "too few arguments": without_arguments("validate_and_save"),
        "no arguments": without_arguments("train"),
    },
}
