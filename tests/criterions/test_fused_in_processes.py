"""The fused criteria in two processes: the projection's weight is used outside the wrapped model's ``forward``."""

from argparse import Namespace

import pytest
import torch
from builders import build
from criteria import FUSIBLE, SMOOTHED, criterion, outcome, sample
from fairseq.dataclass.configs import DistributedTrainingConfig
from fairseq.models.distributed_fairseq_model import DistributedFairseqModel

from fairseq_plugins.criterions.projection import plain_projection


def batches(model):
    """What each process reads."""
    whole = sample(model)
    for rows in (slice(0, 1), slice(1, 3)):
        inputs = {name: tensor[rows] for name, tensor in whole["net_input"].items()}
        target = whole["target"][rows]
        yield {"net_input": inputs, "target": target, "ntokens": int(target.ne(1).sum())}


def process(rank, model, backend, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
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
    gradients = {name: p.grad for name, p in model.named_parameters()}
    torch.save((gradients, plain_projection(wrapped) is not None), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("backend", "fuses"),
    [
        ({"ddp_backend": "pytorch_ddp"}, True),
        ({"ddp_backend": "legacy_ddp"}, True),
        ({"ddp_backend": "pytorch_ddp", "find_unused_parameters": True}, False),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_every_gradient_is_reduced(tmp_path, backend, fuses, shared):
    model = build(FUSIBLE[0], share_decoder_input_output_embed=shared)
    alone = [outcome(SMOOTHED, model, given, label_smoothing=0.1)[3] for given in batches(model)]
    model.zero_grad(set_to_none=True)
    torch.multiprocessing.start_processes(process, (model, backend, tmp_path), nprocs=2, start_method="fork")
    for rank in (0, 1):
        gradients, fused = torch.load(tmp_path / f"{rank}.pt")
        assert fused is fuses
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, (alone[0][name] + alone[1][name]) / 2, rtol=1e-5, atol=2e-6, msg=name)
