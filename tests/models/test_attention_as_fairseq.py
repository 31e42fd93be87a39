"""linear / dot / exp / dense equals fairseq's and torch's own attention: outputs and every gradient."""

import pytest
import torch
from fairseq.modules import MultiheadAttention

from fairseq_plugins.attention import CAUSAL, AttentionConfig

HEADS, WIDTH = 3, 15
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
#: fairseq's hand-written branch takes its softmax in float32 whatever the input
SLOW_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}


def ours(dtype, **kwargs):
    return AttentionConfig().build("encoder", WIDTH, HEADS, **kwargs).to(dtype)


def inputs(dtype, queries, keys, batch):
    q = torch.randn(queries, batch, WIDTH, dtype=dtype, requires_grad=True)
    k = torch.randn(keys, batch, WIDTH, dtype=dtype, requires_grad=True)
    return q, k


def padding(side, batch, keys):
    """Row 0 without padding; the others padded on one side by unequal amounts."""
    if side is None:
        return None
    pad = torch.zeros(batch, keys, dtype=torch.bool)
    for row in range(1, batch):
        pad[row, slice(row) if side == "left" else slice(-row, None)] = True
    return pad


def gradients(module, out, *inputs_):
    grad = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    names = [name for name, _ in module.named_parameters()]
    values = torch.autograd.grad(out, [*module.parameters(), *inputs_], grad, allow_unused=True)
    return dict(zip([*names, *(f"input{i}" for i in range(len(inputs_)))], values))


def assert_same(ours_, theirs, tolerance):
    (out, grads), (expected, expected_grads) = ours_, theirs
    torch.testing.assert_close(out, expected, rtol=0, atol=tolerance)
    assert set(grads) == set(expected_grads)
    for name, grad in expected_grads.items():
        scale = 1.0 if grad is None else max(1.0, grad.abs().max().item())
        torch.testing.assert_close(grads[name], grad, rtol=0, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("side", [None, "left", "right"])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("queries", [1, 7])
def test_fairseq_self_attention(dtype, side, need_weights, queries):
    module = ours(dtype, self_attention=True)
    stock = MultiheadAttention(WIDTH, HEADS, self_attention=True).to(dtype)
    stock.load_state_dict(module.state_dict())
    x, _ = inputs(dtype, queries, queries, 4)
    pad = padding(side, 4, queries) if queries > 3 else None
    out, weights = module(x, x, x, pad, need_weights=need_weights)
    expected, expected_weights = stock(x, x, x, pad, need_weights=need_weights)
    assert_same((out, gradients(module, out, x)), (expected, gradients(stock, expected, x)), TOLERANCE[dtype])
    if need_weights:
        torch.testing.assert_close(weights, expected_weights, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("side", [None, "left", "right"])
@pytest.mark.parametrize("heads", [False, True])
def test_fairseq_cross_attention(dtype, side, heads):
    """static_kv takes fairseq's hand-written branch."""
    module = ours(dtype, encoder_decoder_attention=True)
    stock = MultiheadAttention(WIDTH, HEADS, encoder_decoder_attention=True).to(dtype)
    stock.load_state_dict(module.state_dict())
    x, memory = inputs(dtype, 7, 5, 3)
    call = {"key_padding_mask": padding(side, 3, 5), "static_kv": True, "need_head_weights": heads}
    out, weights = module(x, memory, memory, **call)
    expected, expected_weights = stock(x, memory, memory, **call)
    tolerance = SLOW_TOLERANCE[dtype]
    assert_same((out, gradients(module, out, x, memory)), (expected, gradients(stock, expected, x, memory)), tolerance)
    torch.testing.assert_close(weights, expected_weights.to(dtype), rtol=0, atol=tolerance)
    fused, none = module(x, memory, memory, **{**call, "need_head_weights": False}, need_weights=False)
    torch.testing.assert_close(fused, out, rtol=0, atol=TOLERANCE[dtype])
    assert none is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("side", [None, "right"])
@pytest.mark.parametrize("mask", ["causal", "float", "bool", "per_head"])
def test_torch_attention(dtype, side, mask):
    """torch.nn.MultiheadAttention, with the masks in each of the forms that ours takes."""
    batch, time = 3, 7
    module = ours(dtype, self_attention=True)
    theirs = torch.nn.MultiheadAttention(WIDTH, HEADS, dtype=dtype)
    with torch.no_grad():
        packed = [getattr(module, f"{role}_proj") for role in "qkv"]
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in packed]))
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in packed]))
        theirs.out_proj.load_state_dict(module.out_proj.state_dict())
    x, _ = inputs(dtype, time, time, batch)
    pad = padding(side, batch, time)
    triangle = torch.full((time, time), float("-inf"), dtype=dtype).triu(1)
    given, known = {
        "causal": (CAUSAL, triangle),
        "float": (triangle + torch.randn(time, time, dtype=dtype).tril(), None),
        "bool": (triangle.bool(), None),
        "per_head": (triangle + torch.randn(batch * HEADS, time, time, dtype=dtype).tril(), None),
    }[mask]
    known = given if known is None else known
    out, weights = module(x, x, x, pad, attn_mask=given, need_head_weights=True)
    fused, _ = module(x, x, x, pad, attn_mask=given, need_weights=False)
    if pad is not None:  # in one mask, since torch releases differ in how they take two
        kept = known.expand(batch * HEADS, time, time) if known.dim() == 2 else known
        excluded = pad[:, None, None, :].expand(batch, HEADS, time, time).reshape(batch * HEADS, time, time)
        known = kept | excluded if kept.dtype == torch.bool else kept.masked_fill(excluded, float("-inf"))
    expected, expected_weights = theirs(x, x, x, attn_mask=known, average_attn_weights=False)
    torch.testing.assert_close(out, expected, rtol=0, atol=TOLERANCE[dtype])
    torch.testing.assert_close(fused, expected, rtol=0, atol=TOLERANCE[dtype])
    torch.testing.assert_close(weights.transpose(0, 1), expected_weights, rtol=0, atol=TOLERANCE[dtype])
    (grad,) = torch.autograd.grad(fused.square().sum(), x)
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(grad, expected_grad, rtol=0, atol=TOLERANCE[dtype] * 10)


def test_same_seed_same_parameters():
    torch.manual_seed(7)
    stock = MultiheadAttention(WIDTH, HEADS, self_attention=True)
    torch.manual_seed(7)
    module = ours(torch.float32, self_attention=True)
    for name, parameter in stock.state_dict().items():
        assert torch.equal(parameter, module.state_dict()[name]), name


def test_before_softmax():
    module = ours(torch.float32, encoder_decoder_attention=True)
    stock = MultiheadAttention(WIDTH, HEADS, encoder_decoder_attention=True)
    stock.load_state_dict(module.state_dict())
    x, memory = inputs(torch.float32, 7, 5, 3)
    call = {"key_padding_mask": padding("left", 3, 5), "static_kv": True, "before_softmax": True}
    for mine, expected in zip(module(x, memory, memory, **call), stock(x, memory, memory, **call)):
        torch.testing.assert_close(mine, expected)
