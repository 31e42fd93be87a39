"""Attention with dropout block by block, beside the same with all weights in memory and autograd's gradients."""

import pytest
import torch
from builders import build, run
from torch.autograd.graph import saved_tensors_hooks

from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.mix.dense import DenseMixing
from fairseq_plugins.attention.normalise import blockwise
from fairseq_plugins.attention.normalise.blockwise import blockwise_attention
from fairseq_plugins.attention.normalise.exp import ExpKernel
from fairseq_plugins.models import fast_dropout
from fairseq_plugins.models.fast_dropout import FastDropout, SeededMasks

B, H, T, S, D = 3, 4, 7, 9, 5


def masks(seed=17):
    """A fifth of the weights is dropped."""
    return SeededMasks(seed, dropped=13107)


def inputs(queries=T, keys=S, dtype=torch.float64):
    """q, k, v as projections leave them: (T, B, H, D) in memory."""
    shapes = ((queries, B, H, D), (keys, B, H, D), (keys, B, H, D))
    return [torch.randn(shape).to(dtype).permute(1, 2, 0, 3).requires_grad_() for shape in shapes]


def padding(side, keys):
    pad = torch.zeros(B, keys, dtype=torch.bool)
    if side == "left":
        pad[0, :3] = True
    elif side == "right":
        pad[1, -2:] = True
    elif side == "all of a sentence":
        pad[2] = True
    return None if side == "none" else pad


def kept(shape):
    """The mask of all weights, put together from its blocks."""
    whole, drawn = torch.empty(shape, dtype=torch.float64), masks()
    for place in blockwise._places(shape):
        whole[place] = drawn.draw(whole[place].numel()).view(whole[place].shape).double()
    return whole * drawn.scale


def with_all_weights(q, k, v, mask):
    weights = ExpKernel(None).weights(q, k, mask)
    return torch.matmul((weights * kept(weights.shape)).to(v.dtype), v)


def assert_same(actual, expected, leaves, **tolerance):
    torch.testing.assert_close(actual, expected, **tolerance)
    direction = torch.randn_like(expected)
    gradients = (torch.autograd.grad(out, leaves, direction, allow_unused=True) for out in (actual, expected))
    for ours, theirs in zip(*gradients):
        torch.testing.assert_close(ours, theirs, **tolerance)


# of 49 (causal) or 63 weights a head, 4 heads, 3 sentences
@pytest.mark.parametrize("block", [1, 190, 520, 1 << 19], ids=["a head", "three heads", "two sentences", "everything"])
@pytest.mark.parametrize("side", ["none", "left", "right", "all of a sentence"])
@pytest.mark.parametrize("kind", ["cross", "causal", "bias"])
def test_outputs_and_gradients(kind, side, block, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", block)
    keys = T if kind == "causal" else S
    bias = torch.randn(B, H, T, keys).masked_fill(torch.rand(B, H, T, keys) < 0.3, float("-inf")).double()
    mask = AttentionMask(kind == "causal", padding(side, keys), bias if kind == "bias" else None)
    q, k, v = inputs(keys=keys)
    assert len(list(blockwise._places((B, H, T, keys)))) == {1: B * H, 190: 2 * B, 520: 2}.get(block, 1)
    out = blockwise_attention(q, k, v, mask, masks())
    assert_same(out, with_all_weights(q, k, v, mask), (q, k, v), rtol=0, atol=1e-12)
    assert out.permute(2, 0, 1, 3).is_contiguous()


def test_shared_queries_and_keys():
    """As symmetric attention has them: the gradients of both add up."""
    q, _, v = inputs(keys=T)
    mask = AttentionMask(causal=True)
    assert_same(
        blockwise_attention(q, q, v, mask, masks()), with_all_weights(q, q, v, mask), (q, v), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision(autocast):
    """Weights in float32 as ever; autocast does not reach what is inside."""
    q, k, v = inputs(dtype=torch.bfloat16)
    mask = AttentionMask(key_padding=padding("left", S))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = blockwise_attention(q, k, v, mask, masks())
        assert out.dtype == torch.bfloat16
        exact = with_all_weights(*(x.double() for x in (q, k, v)), mask)
        assert_same(out.double(), exact, (q, k, v), rtol=0.05, atol=0.05)


def test_no_weights_are_kept():
    """The backward pass is left with q, k, v, the output, and a bit for each weight."""

    def saved(length, fast):
        sizes = []
        q, k, v = inputs(length, length, torch.float32)
        with saved_tensors_hooks(lambda x: sizes.append(x.numel() * x.element_size()) or x, lambda x: x):
            if fast:
                blockwise_attention(q, k, v, AttentionMask(), masks())
            else:
                with_all_weights(q, k, v, AttentionMask())
        return sum(sizes)

    rows = B * H * 64
    assert saved(64, True) == rows * (4 * D * 4 + 64 / 8)
    assert saved(64, False) > rows * 64 * 4


@pytest.mark.parametrize(("keys", "training"), [(S, True), (S, False), (D, True)])
def test_it_is_reached_where_it_saves_memory(keys, training, monkeypatch):
    """By --fast-dropout's module while it drops; not if somebody wants the weights, or where values take more."""
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    calls = []
    original = blockwise._BlockwiseAttention.apply
    monkeypatch.setattr(blockwise._BlockwiseAttention, "apply", lambda *a: calls.append(a) or original(*a))
    q, k, v = inputs(keys=keys)
    dropout = FastDropout(0.2).train(training)
    for need_weights in (False, True):
        _, weights = DenseMixing(None).attend(ExpKernel(None), q, k, v, AttentionMask(), dropout, need_weights)
        assert (weights is not None) == need_weights
    assert len(calls) == (training and keys > D)


def test_a_trained_bias_keeps_its_gradient(monkeypatch):
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    q, k, v = inputs()
    bias = torch.zeros(T, S, dtype=torch.float64, requires_grad=True)
    out, _ = DenseMixing(None).attend(ExpKernel(None), q, k, v, AttentionMask(bias=bias), FastDropout(0.2), False)
    (gradient,) = torch.autograd.grad(out.square().sum(), bias)
    assert gradient.abs().min() > 0


@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "roberta"])
def test_a_model_has_as_many_attentions_in_blocks(family, monkeypatch):
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    calls = []
    original = blockwise._BlockwiseAttention.apply
    monkeypatch.setattr(blockwise._BlockwiseAttention, "apply", lambda *a: calls.append(a) or original(*a))
    heads = {f"{side}_attention_heads": 8 for side in ("encoder", "decoder")}  # of width 3
    model = build(f"{family}_pairwise_tiny", fast_dropout=True, attention_dropout=0.2, **heads).train()
    run(model)[0].square().mean().backward()
    assert len(calls) == sum(type(module).__name__ == "FairseqAttention" for module in model.modules())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_expectation_is_attention_without_dropout():
    """The mean of 2,000 draws, in standard deviations of the mean."""
    q, k, v = (x.detach() for x in inputs())
    exact = torch.matmul(ExpKernel(None).weights(q, k, AttentionMask()), v)
    draws = torch.stack([blockwise_attention(q, k, v, AttentionMask(), masks(seed)) for seed in range(2000)])
    z = (draws.mean(dim=0) - exact) / (draws.std(dim=0) / 2000**0.5)
    assert abs(z.mean().item()) < 0.3
    assert z.abs().max() < 5
