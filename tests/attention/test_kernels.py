"""Kernels other than softmax: their formulas and gradients, rows of zeros, extreme scores, and elu1's linear forms."""

from argparse import Namespace

import pytest
import torch
from choices import KERNELS
from torch.utils.flop_counter import FlopCounterMode

from fairseq_plugins.attention import AttentionConfig
from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.naive import naive_attention
from fairseq_plugins.attention.normalise.elu1 import linear_attention
from fairseq_plugins.attention.stages import KERNEL

OTHERS = [name for name in KERNELS if name != "exp"]
WIDTH = 5


def kernel(name, **options):
    cls = KERNEL[name]
    return cls(cls.Options(**options) if cls.Options else None)


#: kernels, and a query's entries with which they are 0 at every key, as scores of 0 and features that underflow do
ZEROS = [
    (name, entry)
    for name in KERNELS
    for entry in (0.0, -1e4)
    if all(kernel(name).kappa(torch.full((WIDTH,), entry), torch.full((WIDTH,), key)) == 0 for key in (-1.0, 1.0))
]


def random(*shape, dtype=torch.float64, requires_grad=True):
    return torch.randn(*shape, dtype=dtype).requires_grad_(requires_grad)


def padding(batch, keys, side):
    pad = torch.zeros(batch, keys, dtype=torch.bool)
    if side == "left":
        pad[0, :2] = True
    elif side == "right":
        pad[0, -2:] = True
    elif side == "all":
        pad[0] = True
    return pad


def assert_same(actual, expected, inputs, atol=1e-10):
    """Outputs and the gradients of a random linear function of them."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)
    direction = torch.randn_like(expected)
    for a, b in zip(torch.autograd.grad(actual, inputs, direction), torch.autograd.grad(expected, inputs, direction)):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_weights_are_the_formula_with_gradients(name, causal, side):
    q, k, v = (random(2, 3, 7, WIDTH) for _ in range(3))
    mask = AttentionMask(causal, padding(2, 7, side))
    actual = torch.matmul(kernel(name).weights(q, k, mask), v)
    expected = naive_attention(q, k, v, kernel(name), mask.allowed(7, q.device))
    assert_same(actual, expected, (q, k, v))


@pytest.mark.parametrize("degree", [2, 4, 6])
def test_the_degree_is_the_power(degree):
    q, k = random(1, 2, 3, WIDTH), random(1, 2, 4, WIDTH)
    scores = torch.matmul(q, k.transpose(-2, -1)) / WIDTH**0.5
    expected = scores**degree / (scores**degree).sum(-1, keepdim=True)
    weights = kernel("poly", attention_poly_degree=degree).weights(q, k, AttentionMask())
    assert_same(weights, expected, (q, k))


@pytest.mark.parametrize("degree", [0, 1, 3, -2])
def test_odd_powers_are_refused(degree):
    with pytest.raises(ValueError, match="--attention-poly-degree"):
        kernel("poly", attention_poly_degree=degree)


def test_the_kernels_that_may_be_zero():
    """relu and poly of scores that are 0; elu1 of features that underflow; never exp."""
    assert {("relu", 0.0), ("poly", 0.0), ("elu1", -1e4)} <= set(ZEROS)
    assert "exp" not in dict(ZEROS)


@pytest.mark.parametrize(("name", "entry"), ZEROS)
def test_a_row_of_zeros_is_uniform_over_its_allowed_keys(name, entry):
    q = torch.full((1, 1, 2, WIDTH), entry).requires_grad_()
    k = random(1, 1, 4, WIDTH, dtype=torch.float32)
    pad = torch.tensor([[True, False, False, False]])
    weights = kernel(name).weights(q, k, AttentionMask(key_padding=pad))
    torch.testing.assert_close(weights, torch.tensor([0, 1 / 3, 1 / 3, 1 / 3]).expand(1, 1, 2, 4))
    weights.square().sum().backward()
    assert q.grad.isfinite().all()
    assert k.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in KERNELS), ("poly", {"attention_poly_degree": 8})]
)
def test_scores_of_ten_thousand_stay_finite(name, options, dtype):
    """Queries and keys of either sign, so that <q, k> / sqrt(D) is +-1e4; forward, weights and gradients."""
    size = (1e4 / WIDTH**0.5) ** 0.5
    signs = torch.tensor([1.0, -1.0, 0.5])[:, None].expand(3, WIDTH)
    q = (signs * size).to(dtype).view(1, 1, 3, WIDTH).clone().requires_grad_()
    k = (signs.flip(0) * size).to(dtype).view(1, 1, 3, WIDTH).clone().requires_grad_()
    v = random(1, 1, 3, WIDTH, dtype=torch.float32).to(dtype)
    weights = kernel(name, **options).weights(q, k, AttentionMask(causal=True))
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1, 3))
    grads = torch.autograd.grad((torch.matmul(weights, v.float()) ** 2).sum(), (q, k))
    assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize("name", OTHERS)
def test_autocast_keeps_sums_in_float32(name):
    q, k = (random(1, 2, 9, 64, dtype=torch.float32, requires_grad=False) for _ in range(2))
    expected = kernel(name).weights(q, k, AttentionMask())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = kernel(name).weights(q, k, AttentionMask())
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)


@pytest.mark.parametrize("chunk", [1, 4, 64])
@pytest.mark.parametrize("side", ["none", "left", "right", "all"])
@pytest.mark.parametrize("causal", [False, True])
def test_the_linear_form_is_the_quadratic_form(causal, side, chunk):
    q, k, v = (random(2, 3, 11, WIDTH) for _ in range(3))
    with torch.no_grad():
        q[1, 0, 3] = -1e4  # a query whose features are all 0
    mask = AttentionMask(causal, padding(2, 11, side))
    expected = torch.matmul(kernel("elu1").weights(q, k, mask), v)
    assert_same(linear_attention(q, k, v, causal, mask.key_padding, chunk), expected, (q, k, v))


def test_the_linear_form_is_taken_for_long_sequences_only():
    long, short = random(1, 1, 40, WIDTH), random(1, 1, 6, WIDTH)
    elu1 = kernel("elu1")
    assert elu1.fused(long, long, long, AttentionMask(causal=True), 0.0) is not None
    assert elu1.fused(short, short, short, AttentionMask(causal=True), 0.0) is None
    assert elu1.fused(long, long, long, AttentionMask(causal=True), 0.1) is None, "dropout needs the weights"


def test_the_linear_form_takes_linear_work():
    def work(time, causal):
        q, k, v = (random(1, 2, time, 8, requires_grad=False) for _ in range(3))
        with FlopCounterMode(display=False) as counter:
            linear_attention(q, k, v, causal)
        return counter.get_total_flops()

    for causal in (False, True):
        assert work(2048, causal) == 2 * work(1024, causal)


def test_an_additive_mask_is_refused_where_there_are_no_scores():
    q = random(1, 1, 3, WIDTH)
    only_excludes = AttentionMask(bias=torch.tensor([[0.0, float("-inf"), 0.0]] * 3))
    assert (kernel("elu1").weights(q, q, only_excludes)[..., 1] == 0).all()
    with pytest.raises(ValueError, match="elu1"):
        kernel("elu1").weights(q, q, AttentionMask(bias=torch.full((3, 3), 0.5)))


def attention(**kwargs):
    config = AttentionConfig.from_options(Namespace(attention_kernel="elu1"))
    return config.build("decoder", 2 * WIDTH, 2, self_attention=True, **kwargs).double().eval()


def test_decoding_keeps_a_state_of_constant_size():
    module, state, sizes = attention(), {}, []
    for _ in range(5):
        x = random(1, 3, 2 * WIDTH, requires_grad=False)
        module(x, x, x, buffer=state, need_weights=False)
        sizes.append({name: tuple(t.shape) for name, t in state.items()})
    assert sizes == [{"key_sums": (3, 2, WIDTH + 1, WIDTH + 1)}] * 5


def test_decoding_that_asks_for_weights_keeps_the_keys():
    module, state = attention(), {}
    x = random(4, 3, 2 * WIDTH, requires_grad=False)
    for t in range(4):
        step = x[t : t + 1]
        out, weights = module(step, step, step, buffer=state, need_weights=t != 1)
        expected, _ = module(x[: t + 1], x[: t + 1], x[: t + 1], attn_mask=None)
        torch.testing.assert_close(out[0], expected[-1], rtol=0, atol=1e-12)
    assert weights.shape == (3, 1, 4)
    state = {}
    module(x[:1], x[:1], x[:1], buffer=state, need_weights=False)
    with pytest.raises(ValueError, match="kept no keys"):
        module(x[1:2], x[1:2], x[1:2], buffer=state, need_weights=True)
