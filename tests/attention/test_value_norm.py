"""The r keys of largest weight times norm of their value, against plain loops."""

import pytest
import torch
from choices import KERNELS

from fairseq_plugins.attention import AttentionConfig
from fairseq_plugins.attention.largest import largest, ranking
from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.mix.value_norm import NORMS, value_sizes
from fairseq_plugins.attention.stages import KERNEL, MIXING

BATCH, HEADS, KEYS, WIDTH = 2, 3, 7, 3
DOUBLE = torch.float64


def mixing(name, r, **options):
    cls = MIXING[name]
    return cls(cls.Options(attention_r=str(r), **options))


def kernel_named(name):
    cls = KERNEL[name]
    return cls(cls.Options() if cls.Options else None)


def no_dropout():
    return torch.nn.Dropout(0.0).eval()


def qkv(dtype=DOUBLE):
    """Values whose norms differ by much more than the weights do, one of them 0."""
    q, k, v = (torch.randn(BATCH, HEADS, KEYS, WIDTH, dtype=dtype) for _ in range(3))
    v *= torch.randn(BATCH, HEADS, KEYS, 1, dtype=dtype).mul(2).exp()
    v[0, 1, 4] = 0
    return [x.requires_grad_() for x in (q, k, v)]


def padding(side):
    """The second sentence is 2 pads longer, or all of it is padding."""
    pad = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    pad[1, {"left": slice(0, 2), "right": slice(5, KEYS), "all": slice(0, KEYS)}[side]] = True
    return pad


def biased():
    """A relative position is added to the scores, and the key before a query is excluded."""
    bias = -0.1 * (torch.arange(KEYS)[:, None] - torch.arange(KEYS)).abs().to(DOUBLE)
    return bias.masked_fill(torch.eye(KEYS).roll(-1, dims=1).bool(), float("-inf"))


MASKS = {
    "none": AttentionMask,
    "causal": lambda: AttentionMask(causal=True),
    "left": lambda: AttentionMask(key_padding=padding("left")),
    "right": lambda: AttentionMask(key_padding=padding("right")),
    "causal, left": lambda: AttentionMask(causal=True, key_padding=padding("left")),
    "causal, right": lambda: AttentionMask(causal=True, key_padding=padding("right")),
    "all": lambda: AttentionMask(key_padding=padding("all")),
    "biased": lambda: AttentionMask(bias=biased()),
}


def by_loops(kernel, q, k, v, mask, rs, norm):
    """Output and weights, query by query; where every kappa is 0, the allowed keys have equal weights."""
    allowed = mask.allowed(KEYS, "cpu")
    allowed = torch.ones(KEYS, KEYS, dtype=torch.bool) if allowed is None else allowed
    allowed = allowed.expand(BATCH, HEADS, KEYS, KEYS)
    rows, used = [], torch.zeros(BATCH, HEADS, KEYS, KEYS, dtype=DOUBLE)
    for b in range(BATCH):
        for h in range(HEADS):
            for t in range(KEYS):
                seen = [s for s in range(KEYS) if allowed[b, h, t, s]]
                kappa = {}
                for s in seen:
                    kappa[s] = kernel.kappa(q[b, h, t], k[b, h, s])
                    if mask.bias is not None:
                        kappa[s] = kappa[s] * mask.bias[t, s].exp()
                if seen and sum(kappa.values()) == 0:
                    kappa = {s: torch.ones((), dtype=DOUBLE) for s in seen}
                size = {s: sum(abs(x) ** norm for x in v[b, h, s].tolist()) ** (1 / norm) for s in seen}
                weighty = [s for s in seen if kappa[s] > 0]
                kept = sorted(weighty, key=lambda s: (-kappa[s].item() * size[s], s))[: rs[h]]
                row = torch.zeros(WIDTH, dtype=DOUBLE)
                for s in kept:
                    weight = kappa[s] / sum(kappa[i] for i in kept)
                    used[b, h, t, s] = weight.item()
                    row = row + weight * v[b, h, s]
                rows.append(row)
    return torch.stack(rows).view(BATCH, HEADS, KEYS, WIDTH), used


RS = ["1", "3", "5:2:7"]


@pytest.mark.parametrize(
    ("kernel", "mask", "r"),
    # every kernel with every mask, and each of both with every r; what a bias does to the weights is simplest with exp
    [
        (kernel, mask, RS[(i + j) % len(RS)])
        for i, kernel in enumerate(KERNELS)
        for j, mask in enumerate(MASKS)
        if mask != "biased" or kernel == "exp"
    ],
)
def test_definition(kernel, mask, r):
    """Outputs, weights and gradients, whether the weights are asked for or not."""
    kernel, mask, inputs = kernel_named(kernel), MASKS[mask](), qkv()
    rs = [int(part) for part in r.split(":")] * (1 if ":" in r else HEADS)
    cotangent = torch.randn(BATCH, HEADS, KEYS, WIDTH, dtype=DOUBLE)
    for norm in NORMS:
        expected, weights = by_loops(kernel, *inputs, mask, rs, norm)
        expected_gradients = torch.autograd.grad(expected, inputs, cotangent, allow_unused=True)
        for need_weights in (False, True):
            norm_r = mixing("value-norm-r", r, attention_value_norm=norm)
            out, used = norm_r.attend(kernel, *inputs, mask, no_dropout(), need_weights)
            torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
            if need_weights:
                torch.testing.assert_close(used, weights, rtol=0, atol=1e-10)
            gradients = torch.autograd.grad(out, inputs, cotangent, allow_unused=True)
            for ours, theirs in zip(gradients, expected_gradients):
                ours, theirs = (torch.zeros(()) if x is None else x for x in (ours, theirs))  # r = 1: of v alone
                torch.testing.assert_close(*torch.broadcast_tensors(ours, theirs.to(ours)), rtol=1e-10, atol=1e-10)


def test_the_norms_choose_differently():
    """Of equal weights: (1, 1, 1, 1) is the longest by the sum of absolute values, (2.5, 0, 0, 0) by Euclid."""
    v = torch.tensor([[1.0, 1, 1, 1], [2.5, 0, 0, 0], [0, 0, 0, 0]], dtype=DOUBLE).view(1, 1, 3, 4)
    weights = torch.full((1, 1, 1, 3), 1 / 3, dtype=DOUBLE)
    for norm, chosen in ((1, 0), (2, 1)):
        out, _ = mixing("value-norm-r", 1, attention_value_norm=norm).mix(weights, v, AttentionMask(), no_dropout())
        assert torch.equal(out[0, 0, 0], v[0, 0, chosen])
        config = AttentionConfig(mixing="value-norm-r", r=1, value_norm=str(norm))  # as the command line gives it
        assert config.build("encoder", 8, 2).mixing.norm == norm
    assert AttentionConfig(mixing="value-norm-r").build("encoder", 8, 2).mixing.norm == 1
    with pytest.raises(ValueError, match="--attention-value-norm 3: choose from 1, 2"):
        AttentionConfig(mixing="value-norm-r", value_norm=3)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("mask", ["none", "causal, left", "causal, right", "all"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_norms_are_top_r(kernel, mask, norm):
    """The values are signs, and so ties of weights stay ties."""
    (q, k, v), mask = qkv(), MASKS[mask]()
    k = k.detach()
    k[..., 3, :] = k[..., 1, :]
    v = v.detach().sign() + (v.detach() == 0)
    kernel = kernel_named(kernel)
    for r in ("1", "3", "5:2:7"):
        for need_weights in (False, True):
            call = (kernel, q, k, v, mask, no_dropout(), need_weights)
            ours = mixing("value-norm-r", r, attention_value_norm=norm).attend(*call)
            for one, other in zip(ours, mixing("top-r", r).attend(*call)):
                assert (one is None and other is None) or torch.allclose(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("r", [1, 2, 5])
def test_of_equal_ones_the_first_are_taken(r):
    """Weights and norms are powers of 2 with one product, but for key 3, whose product is twice that."""
    for keys in (5, 6, 40, 300):
        power = torch.randint(0, 4, (2, 3, 4, keys))
        sizes = 2.0 ** -power[:, :, :1]
        weights = 2.0 ** power[:, :, :1].expand(-1, -1, 4, -1).double()
        weights[..., 3] *= 2
        v = sizes.transpose(-2, -1) * torch.tensor([1.0, 0.0, 0.0], dtype=DOUBLE)
        expected = torch.tensor(sorted([3, *(i for i in range(keys) if i != 3)][:r]))
        shares = weights / weights.sum(-1, keepdim=True)
        _, used = mixing("value-norm-r", r).mix(shares, v, AttentionMask(), no_dropout())
        if r < keys:
            assert (used.nonzero()[:, 3].view(2, 3, 4, r) == expected).all()
        # the scale of the sizes and of the weights is free
        kept, indices = largest(weights, r, value_sizes(v, 1))
        assert (indices.sort(dim=-1)[0] == expected).all()
        assert torch.equal(kept, weights.gather(-1, indices))


def test_a_ranking_holds_the_choice_of_every_r():
    """Small whole numbers have many ties."""
    x = torch.randint(-1, 4, (50, 3, 11)).double()
    ranked = ranking(x, 9)
    for k in range(1, 10):
        by_rank = [sorted(range(11), key=lambda i, row=row: (-row[i].item(), i))[:k] for row in x.flatten(0, 1)]
        expected = torch.tensor(by_rank).view(50, 3, k)
        counts = x.gather(-1, expected) > 0  # which of those without weight come first is free
        assert torch.equal(ranked[..., :k][counts], expected[counts])
        kept, _ = largest(x, k)
        assert torch.equal(x.gather(-1, ranked[..., :k])[counts], kept[counts])


@pytest.mark.parametrize("kernel", KERNELS)
def test_values_of_0_come_last_and_before_excluded_keys(kernel):
    """A query whose values are all 0, or that sees few others, still mixes what it sees as top-r does."""
    q, k, v = (x.detach() for x in qkv())
    v[0], v[1, :, :5] = 0, 0
    kernel, mask = kernel_named(kernel), MASKS["causal"]()
    out, used = mixing("value-norm-r", 3).attend(kernel, q, k, v, mask, no_dropout(), True)
    weights = kernel.weights(q, k, mask)
    first = used[..., :3, :]
    torch.testing.assert_close(first, weights[..., :3, :], rtol=0, atol=1e-10)
    assert (used.sum(-1) - 1).abs().max() < 1e-12
    assert (used[weights == 0] == 0).all()
    both = (weights[1, :, 6, 5:] > 0).all(-1)  # the last query sees two values that are not 0
    assert (used[1, :, 6, 5:][both] > 0).all()
    torch.testing.assert_close(used @ v, out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kernel", KERNELS)
def test_lower_precision_differs_by_rounding(kernel, dtype):
    """Norms far apart, so that rounding changes no choice; huge values do not overflow the norm."""
    q, k, v = (x.detach().float() for x in qkv())
    v = v.sign() * 10.0 ** torch.arange(-2, KEYS - 2)[:, None] / 40
    q, k, v = (x.to(dtype) for x in (0.3 * q, 0.3 * k, v))
    call = (MASKS["causal, left"](), no_dropout(), True)
    kernel = kernel_named(kernel)
    norm_r = mixing("value-norm-r", 3, attention_value_norm=2)
    out, used = norm_r.attend(kernel, q, k, v, *call)
    exact, weights = norm_r.attend(kernel, q.double(), k.double(), v.double(), *call)
    assert out.dtype == dtype
    assert used.dtype == torch.float32
    # a weight of poly may be 0 but for rounding
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(used.double(), weights, rtol=0, atol=tolerance)
    torch.testing.assert_close(out.double(), exact, rtol=tolerance, atol=tolerance * v.abs().max().item())


def peak(call, *, grad):
    """The most bytes that a call holds at once, by torch's record of what it allocates and frees."""
    with torch.set_grad_enabled(grad), torch.autograd.profiler.profile(profile_memory=True) as record:
        call()
    held = most = 0
    for event in record.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@pytest.mark.parametrize(
    ("kernel", "grad", "mask"),
    # a kernel makes no other matrices for another mask
    [
        (kernel, grad, ["none", "causal", "padded"][(i + grad) % 3])
        for i, kernel in enumerate(KERNELS)
        for grad in (False, True)
    ],
)
def test_memory_is_that_of_top_r(kernel, mask, grad):
    """No matrix of queries x keys more than top-r has at its peak."""
    length = 96
    q, k, v = (torch.randn(2, 2, length, 4).requires_grad_(grad) for _ in range(3))
    pad = torch.zeros(2, length, dtype=torch.bool)
    pad[1, 60:] = True
    mask = AttentionMask(causal=mask == "causal", key_padding=pad if mask == "padded" else None)
    matrix = 2 * 2 * length * length * 4

    def taken(name):
        kept = []  # what the backward pass will need counts too

        def call():
            kept.append(mixing(name, 4).attend(kernel_named(kernel), q, k, v, mask, no_dropout(), False))

        call()
        return peak(call, grad=grad)

    top_r = taken("top-r")
    assert top_r > matrix
    assert taken("value-norm-r") < top_r + matrix / 4
