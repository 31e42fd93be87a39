"""Masked language modelling under bfloat16 autocast, beside fairseq's own."""

import pytest
import torch
from builders import batch, build, masked_lm_task
from fairseq.checkpoint_utils import load_checkpoint_to_cpu
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY
from tiny_training import KINDS, train

OPTIONS = KINDS["mlm"].replace("roberta_base", "roberta_baseline_tiny")


def loss_of(name, model, sample, training=True):
    settings = CRITERION_DATACLASS_REGISTRY[name]()
    settings.tpu = False
    criterion = CRITERION_REGISTRY[name].build_criterion(settings, masked_lm_task()).train(training)
    model.zero_grad()
    loss, size, log = criterion(model, sample)
    loss.backward()
    return loss.detach(), size, log, [p.grad for p in model.parameters() if p.grad is not None]


@pytest.fixture
def sample():
    src, _, _ = batch(left_pad_source=False)
    target = src.masked_fill(torch.arange(src.size(1)) % 2 == 0, 1)
    return {"net_input": {"src_tokens": src}, "target": target, "ntokens": int(src.ne(1).sum()), "nsentences": len(src)}


def test_is_near_fairseqs(sample):
    model = build("roberta_baseline_tiny")
    ours, theirs = (loss_of(name, model, sample) for name in ("autocast_masked_lm", "masked_lm"))
    assert ours[0] != theirs[0]
    assert ours[0].dtype == torch.float32
    torch.testing.assert_close(ours[0], theirs[0], rtol=0.01, atol=0)
    assert ours[1] == theirs[1]
    assert ours[2].keys() == theirs[2].keys()
    for gradient, other in zip(ours[3], theirs[3]):
        assert gradient.dtype == torch.float32
        assert (gradient - other).norm() <= 0.1 * other.norm() + 1e-3


def test_validates_in_single_precision(sample):
    model = build("roberta_baseline_tiny")
    ours, theirs = (loss_of(name, model, sample, training=False)[0] for name in ("autocast_masked_lm", "masked_lm"))
    assert ours == theirs


def test_a_training_continues_in_bfloat16(corpus, tmp_path):
    """Without --reset-optimizer."""
    train(corpus, tmp_path, OPTIONS, updates=2)
    changed = OPTIONS.replace("--criterion masked_lm", "--criterion autocast_masked_lm")
    last = load_checkpoint_to_cpu(str(train(corpus, tmp_path, changed, updates=4)))
    assert last["optimizer_history"][-1]["num_updates"] == 4
    assert last["cfg"]["criterion"]["_name"] == "autocast_masked_lm"
    assert all(value.dtype == torch.float32 for value in last["model"].values() if value.is_floating_point())
