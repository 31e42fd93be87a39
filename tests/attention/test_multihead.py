"""The module that stands in for ``torch.nn.MultiheadAttention``: torch's own outputs, weights and gradients."""

import doctest
import itertools

import pytest
import torch

from fairseq_plugins import attention
from fairseq_plugins.attention import AttentionConfig, AttentionMask, MultiheadAttention, stages

HEADS, WIDTH, T, S, B = 3, 15, 5, 7, 4


def pair(**kwargs):
    theirs = torch.nn.MultiheadAttention(WIDTH, HEADS, dtype=torch.float64, **kwargs)
    for bias in (theirs.in_proj_bias, theirs.out_proj.bias):
        torch.nn.init.normal_(bias)
    ours = MultiheadAttention(WIDTH, HEADS, dtype=torch.float64, **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def masks(kind, queries, keys):
    if kind == "none":
        return None
    if kind == "bool":
        mask = torch.rand(queries, keys) < 0.3
        mask[:, 0] = False
        return mask
    if kind == "float":
        return torch.randn(queries, keys, dtype=torch.float64)
    mask = torch.randn(B * HEADS, queries, keys, dtype=torch.float64)  # of each head
    return mask.masked_fill((torch.rand(B * HEADS, queries, keys) < 0.2) & (torch.arange(keys) > 0), float("-inf"))


def padding(kind, keys):
    pad = torch.zeros(B, keys, dtype=torch.bool)
    pad[1, -2:] = pad[2, :1] = pad[3, 3] = True
    if kind == "float":
        return torch.zeros(B, keys, dtype=torch.float64).masked_fill(pad, float("-inf"))
    return pad if kind == "bool" else None


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("kdim", "vdim"), [(None, None), (10, 6)])
def test_equals_torch(batch_first, kdim, vdim):
    theirs, ours = pair(batch_first=batch_first, kdim=kdim, vdim=vdim)
    inputs = [torch.randn(n, B, width or WIDTH, dtype=torch.float64) for n, width in ((T, None), (S, kdim), (S, vdim))]
    inputs = [(x.transpose(0, 1) if batch_first else x).clone().requires_grad_() for x in inputs]
    for mask, pad, weights, mean in itertools.product(
        ("none", "bool", "float", "heads"), ("none", "bool", "float"), (True, False), (True, False)
    ):
        if mask == "bool" and pad == "bool":
            continue  # together they leave some query nothing, for which torch answers NaN
        given = {"attn_mask": masks(mask, T, S), "key_padding_mask": padding(pad, S), "need_weights": weights}
        if mask == "bool" and pad == "float":
            given["attn_mask"] = None
        given["average_attn_weights"] = mean
        expected, expected_weights = theirs(*inputs, **given)
        if torch.isnan(expected).any():
            continue
        out, found_weights = ours(*inputs, **given)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
        assert (found_weights is None) == (expected_weights is None)
        if weights:
            torch.testing.assert_close(found_weights, expected_weights, rtol=0, atol=1e-10)
        grad = torch.randn_like(out)
        found = torch.autograd.grad(out, inputs, grad)
        for left, right in zip(found, torch.autograd.grad(expected, inputs, grad)):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-10)


def test_causal_and_alone():
    theirs, ours = pair()
    x = torch.randn(T, B, WIDTH, dtype=torch.float64)
    triangle = torch.nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64)
    for pad in (None, torch.zeros(B, T, dtype=torch.float64)):
        for need_weights in (True, False):
            given = {"attn_mask": triangle, "is_causal": True, "key_padding_mask": pad, "need_weights": need_weights}
            for left, right in zip(ours(x, x, x, **given), theirs(x, x, x, **given)):
                torch.testing.assert_close(left, right, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours(x, x, x, is_causal=True)[0], theirs(x, x, x, attn_mask=triangle)[0])
    with pytest.raises(ValueError, match="as many queries as keys"):
        ours(x[:2], x, x, is_causal=True)
    one = x[:, 0]
    pad = torch.tensor([False, True, False, False, True])
    for left, right in zip(ours(one, one, one, pad), theirs(one, one, one, pad)):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-10)


def test_other_choices_compute_what_the_staged_module_does():
    module = MultiheadAttention(
        WIDTH,
        HEADS,
        config=AttentionConfig(kernel="elu1", compatibility="pairwise", mixing="top-r", r=3),
        batch_first=True,
    )
    x = torch.randn(B, T, WIDTH)
    first = x.transpose(0, 1)
    expected, weights = module.staged(first, first, first, padding("bool", T))
    out, found = module(x, x, x, padding("bool", T))
    torch.testing.assert_close(out, expected.transpose(0, 1))
    torch.testing.assert_close(found, weights)
    _, of_heads = module(x, x, x, padding("bool", T), average_attn_weights=False)
    assert of_heads.shape == (B, HEADS, T, T)
    assert ((of_heads > 0).sum(-1) <= 3).all()


@pytest.mark.parametrize("name", ["add_bias_kv", "add_zero_attn"])
def test_what_it_has_not_is_refused(name):
    with pytest.raises(ValueError, match=name):
        MultiheadAttention(WIDTH, HEADS, **{name: True})
    with pytest.raises(ValueError, match="bias=False"):
        MultiheadAttention(WIDTH, HEADS, bias=False)


def test_an_unknown_option_is_named_with_the_nearest():
    with pytest.raises(TypeError, match="no option 'kernle'; the nearest is 'attention_kernel'"):
        AttentionConfig(kernle="elu1")
    assert AttentionConfig(r=3).options == AttentionConfig(attention_r=3).options


@pytest.mark.parametrize("name", attention.__all__)
def test_every_public_name_has_an_example_that_runs(name):
    public = getattr(attention, name)
    if isinstance(public, tuple):
        public = public[0]
    described = public if isinstance(public, type) else type(public)
    names = {"torch": torch, **vars(attention)}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    examples = doctest.DocTestFinder(recurse=False).find(described, globs=names)
    assert sum(runner.run(example).attempted for example in examples) > 0
    assert runner.failures == 0


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kernel", ["exp", "relu", "poly"])
def test_causal_padding_and_bias_together(kernel, padded):
    """Every part of a mask counts, in whichever form the kernel computes."""
    q, k, v = (torch.randn(B, HEADS, T, 4, dtype=torch.float64) for _ in range(3))
    bias = torch.randn(T, T, dtype=torch.float64)
    pad = padding("bool", T) if padded else None
    chosen, options = AttentionConfig(kernel=kernel).choice(stages.KERNEL, "encoder")
    module = chosen(options)
    allowed = AttentionMask(True, pad).allowed(T, "cpu")
    scores = (stages.scaled_scores(q, k) + bias).masked_fill(~allowed, float("-inf"))
    kappa = {"exp": torch.exp, "relu": lambda x: x.clamp(min=0), "poly": lambda x: x**2}[kernel]
    values = kappa(scores).masked_fill(~allowed, 0.0)
    total = values.sum(-1, keepdim=True)
    uniform = allowed.double() / allowed.sum(-1, keepdim=True).clamp(min=1)
    expected = torch.where(total > 0, values / total.clamp(min=1e-300), uniform)
    mask = AttentionMask(True, pad, bias)
    torch.testing.assert_close(module.weights(q, k, mask), expected.expand(B, HEADS, T, T), rtol=0, atol=1e-12)
    fused = module.fused(q, k, v, mask, 0.0)
    if fused is not None:
        torch.testing.assert_close(fused, expected @ v, rtol=0, atol=1e-12)
