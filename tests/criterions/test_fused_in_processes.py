"""The fused criteria in two processes: the projection's weight is used outside the wrapped model's ``forward``."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from builders import build
from criteria import FUSIBLE, SMOOTHED, criterion, outcome, sample
from fairseq.dataclass.configs import DistributedTrainingConfig
from fairseq.models.distributed_fairseq_model import DistributedFairseqModel
from zygote import quick_python

from fairseq_plugins.criterions.projection import plain_projection

BACKENDS = {
    "pytorch_ddp": {"ddp_backend": "pytorch_ddp"},
    "legacy_ddp": {"ddp_backend": "legacy_ddp"},
    "unused": {"ddp_backend": "pytorch_ddp", "find_unused_parameters": True},
}


def case_model(shared):
    return build(FUSIBLE[0], share_decoder_input_output_embed=shared)


def batches(model):
    """What each process reads."""
    whole = sample(model)
    for rows in (slice(0, 1), slice(1, 3)):
        inputs = {name: tensor[rows] for name, tensor in whole["net_input"].items()}
        target = whole["target"][rows]
        yield {"net_input": inputs, "target": target, "ntokens": int(target.ne(1).sum())}


def process(rank, folder):
    """One of two processes that take every case in turn."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name, backend in BACKENDS.items():
        for shared in (False, True):
            model = case_model(shared)
            model.load_state_dict(torch.load(f"{folder}/shared-{shared}.pt"))
            wrapped = DistributedFairseqModel(
                Namespace(**{**vars(DistributedTrainingConfig()), "device_id": 0, "tpu": False, **backend}),
                model,
                process_group=torch.distributed.group.WORLD,
                device=torch.device("cpu"),
            )
            loss, _, _ = criterion(f"fused_{SMOOTHED}", label_smoothing=0.1)(wrapped, list(batches(model))[rank])
            loss.backward()
            if hasattr(wrapped, "all_reduce_grads"):
                wrapped.all_reduce_grads()
            gradients = {key: p.grad for key, p in model.named_parameters()}
            torch.save((gradients, plain_projection(wrapped) is not None), f"{folder}/{name}-{shared}-{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the processes wrote. They are no forks of this one: its threads may have held a lock of theirs."""
    folder = tmp_path_factory.mktemp("processes")
    for shared in (False, True):
        torch.save(case_model(shared).state_dict(), folder / f"shared-{shared}.pt")
    code = "import sys; sys.path[:0] = sys.argv[3:]; from test_fused_in_processes import process; "
    code += "process(int(sys.argv[1]), sys.argv[2])"
    path = [str(Path(__file__).parent), *sys.path]
    children = [subprocess.Popen([quick_python(), "-c", code, str(rank), folder, *path]) for rank in (0, 1)]
    assert [child.wait(300) for child in children] == [0, 0]
    return folder


@pytest.mark.parametrize(("backend", "fuses"), [("pytorch_ddp", True), ("legacy_ddp", True), ("unused", False)])
@pytest.mark.parametrize("shared", [False, True])
def test_every_gradient_is_reduced(folder, backend, fuses, shared):
    model = case_model(shared)
    model.load_state_dict(torch.load(folder / f"shared-{shared}.pt"))
    alone = [outcome(SMOOTHED, model, given, label_smoothing=0.1)[3] for given in batches(model)]
    for rank in (0, 1):
        gradients, fused = torch.load(folder / f"{backend}-{shared}-{rank}.pt")
        assert fused is fuses
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, (alone[0][name] + alone[1][name]) / 2, rtol=1e-5, atol=2e-6, msg=name)
