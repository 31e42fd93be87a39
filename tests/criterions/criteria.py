"""Criteria built as fairseq builds them, and what they make of a small batch."""

import torch
from builders import batch, translation_task
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY

PLAIN, SMOOTHED = "cross_entropy", "label_smoothed_cross_entropy"
FUSIBLE = ["transformer_baseline_tiny", "transformer_symmetric_tiny", "transformer_lm_baseline_tiny"]


def criterion(name, **settings):
    """Built by fairseq from its options' defaults, with ``sentence_avg`` off."""
    options = CRITERION_DATACLASS_REGISTRY[name]()
    options.sentence_avg = False
    for option, value in settings.items():
        assert hasattr(options, option)
        setattr(options, option, value)
    return CRITERION_REGISTRY[name].build_criterion(options, translation_task())


def sample(model, left_pad_target=False, sentences=3):
    """A batch of unequal lengths with the targets of its decoder inputs."""
    src, lengths, prev = (tensor[:sentences] for tensor in batch())
    target = torch.full_like(prev, 1)
    for row, text in enumerate(prev.ne(1)):
        n = int(text.sum())
        target[row, :n] = torch.cat([prev[row, 1:n], torch.tensor([2])])
    if left_pad_target:
        for row, text in enumerate(prev.ne(1)):
            n = int(text.sum())
            prev[row], target[row] = prev[row].roll(-n), target[row].roll(-n)
    inputs = {"src_tokens": src, "src_lengths": lengths, "prev_output_tokens": prev}
    if not hasattr(model, "encoder"):
        inputs = {"src_tokens": prev, "src_lengths": prev.ne(1).sum(dim=1)}
    return {"net_input": inputs, "target": target, "ntokens": int(target.ne(1).sum()), "nsentences": len(target)}


def outcome(name, model, batch, **settings):
    """Loss, sample size, logging output, and the gradient of every parameter."""
    made = criterion(name, **settings)
    model.zero_grad()
    loss, size, log = made(model, batch)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), size, log, gradients, made


def assert_equal(ours, theirs, rtol=1e-5, atol=2e-6):
    assert ours[1] == theirs[1]
    assert ours[2].keys() == theirs[2].keys()
    assert ours[3].keys() == theirs[3].keys()
    for key, value in theirs[2].items():
        torch.testing.assert_close(ours[2][key], value, rtol=rtol, atol=atol, msg=key)
    torch.testing.assert_close(ours[0], theirs[0], rtol=rtol, atol=atol)
    for name, gradient in theirs[3].items():
        torch.testing.assert_close(ours[3][name], gradient, rtol=rtol, atol=atol, msg=name)
