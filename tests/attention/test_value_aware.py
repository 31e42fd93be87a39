"""The best mixtures of r values: guarantees, distance from the optimum, gradients."""

import pytest
import torch
from brute_force import affine_weights, best_errors, random_weights
from choices import KERNELS
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.mix.caratheodory import exact_support
from fairseq_plugins.attention.mix.support_search import value_aware_support
from fairseq_plugins.attention.mix.value_norm import NORMS
from fairseq_plugins.attention.stages import KERNEL, MIXING

KINDS = ("skewed", "flat", "equal", "zeros")
DOUBLE = torch.float64


def mix(name, weights, v, r, mask=None, **options):
    options = MIXING[name].Options(attention_r=str(r), **{f"attention_value_{key}": x for key, x in options.items()})
    return MIXING[name](options).mix(weights, v, mask or AttentionMask(), lambda chosen: chosen)


def errors(name, weights, v, r, mask=None, **options):
    return (weights @ v - mix(name, weights, v, r, mask, **options)[0]).norm(dim=-1)


def values(shape, *size):
    """Values in general position, or on few points and lines, or around a common offset."""
    v = torch.randn(*size, dtype=DOUBLE)
    if shape == "degenerate":
        v[..., 1::3, :] = v[..., :1, :]
        v[..., 2::6, :] = v[..., :1, :] + torch.rand(*v[..., 2::6, :1].shape, dtype=DOUBLE) * v[..., 3:4, :]
    return v + 100 if shape == "offset" else v


@pytest.mark.parametrize(
    ("kind", "shape", "swaps"),
    # every kind of weights with every shape of values, and each of both with and without swaps
    [
        (kind, shape, (0, 2)[(i + j) % 2])
        for i, kind in enumerate(KINDS)
        for j, shape in enumerate(["general", "degenerate", "offset"])
    ],
)
def test_guarantees(kind, shape, swaps):
    """Never worse with more values, nor than either form of top-r; exact from r = D + 1 on."""
    keys, width = 23, 6
    weights, v = random_weights(kind, 2, 3, 17, keys), values(shape, 2, 3, keys, width)
    before = torch.tensor(float("inf"))
    for r in range(1, keys + 1):
        error = errors("value-aware-r", weights, v, r, aware_swaps=swaps)
        assert (error <= before + 1e-12).all()
        for oblivious in ("top-r", "top-r-shifted") if kind != "equal" else ():  # there each r keys are the largest
            assert (error <= errors(oblivious, weights, v, r) + 1e-12).all()
        for norm in NORMS:
            assert (error <= errors("value-norm-r", weights, v, r, norm=norm) + 1e-12).all()
        if r > width:
            assert error.max() < 1e-12
        before = error


@settings(max_examples=25, deadline=None)
@given(
    keys=st.integers(2, 9),
    width=st.integers(1, 5),
    norm=st.sampled_from(NORMS),
    causal=st.booleans(),
    pads=st.integers(-2, 2),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 2**32 - 1),
)
def test_never_worse_than_by_weight_times_norm(keys, width, norm, causal, pads, kernel, seed):
    """Every kernel, every r, padding of either side; norms differ as much as weights do, and some values are 0."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=DOUBLE, generator=generator)

    q, k, v = (random(2, 2, keys, width) for _ in range(3))
    v = v * random(2, 2, keys, 1).exp() * (random(2, 2, keys, 1) > -1)
    pad = torch.zeros(2, keys, dtype=torch.bool)
    if pads:
        pad[1, pads if pads < 0 else 0 : pads if pads > 0 else keys] = True  # on the right, or on the left
    mask = AttentionMask(causal, pad)
    choice = KERNEL[kernel]
    weights = choice(choice.Options() if choice.Options else None).weights(q, k, mask)
    before = torch.tensor(float("inf"))
    for r in range(1, keys + 1):
        error, used = errors("value-aware-r", weights, v, r, mask), mix("value-aware-r", weights, v, r, mask)[1]
        assert (error <= errors("value-norm-r", weights, v, r, mask, norm=norm) + 1e-12).all()
        assert (error <= before + 1e-12).all()
        allowed = mask.allowed(keys, "cpu").expand_as(used)
        assert (used[~allowed] == 0).all()
        before = error


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("r", [2, 3])
def test_keys_of_large_norm_replace_what_is_worse(norm, r):
    """A greedy search that compares with top-r alone is worse than these at one query of a hundred."""
    weights, v = random_weights("skewed", 1, 8, 500, 12), values("general", 1, 8, 12, 4)
    v = v * torch.randn(1, 8, 12, 1, dtype=DOUBLE).exp()
    found = errors("value-aware-r", weights, v, r)
    assert (found <= errors("value-norm-r", weights, v, r, norm=norm) + 1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_value_is_the_nearest(kind):
    weights, v = random_weights(kind, 2, 3, 9, 13), values("general", 2, 3, 13, 5)
    _, used = mix("value-aware-r", weights, v, 1)
    nearest = torch.cdist(weights @ v, v).argmin(dim=-1)
    if kind == "zeros":  # a query with one weighty key only would be mixed densely
        assert ((weights > 0).sum(-1) > 1).all()
    assert torch.equal(used, torch.nn.functional.one_hot(nearest, 13).to(DOUBLE))


def test_few_values_are_the_nearest_among_allowed_keys():
    """Under a causal mask: against the oracle over each query's own keys."""
    keys, r = 9, 2
    weights, v = random_weights("skewed", 1, 1, keys, keys).tril(), values("general", 1, 1, keys, 4)
    weights = weights / weights.sum(-1, keepdim=True)
    out, _ = mix("value-aware-r", weights, v, r, AttentionMask(causal=True), aware_swaps=8)
    for t in range(r, keys):
        o = (weights @ v)[0, 0, t : t + 1]
        best = best_errors(o, v[0, :, : t + 1], r)[-1].item()
        assert best - 1e-12 <= (o - out[0, 0, t]).norm().item() <= 2.5 * best


def test_weights_are_optimal_on_their_support():
    """No better weights exist on the chosen keys, by the oracle on those alone."""
    n, width, r = 40, 9, 5
    weights, v = random_weights("skewed", 1, 1, 30, n), values("general", 1, 1, n, width)
    support = value_aware_support((weights @ v)[0], v[0], weights[0], r)
    o, chosen = (weights @ v)[0, 0], v[0, 0][support.indices[0]]
    best = best_errors(o, chosen, r)[-1]
    found = (o - (support.weights[0][:, None] @ chosen)[:, 0]).norm(dim=1)
    torch.testing.assert_close(found, best, rtol=0, atol=1e-12)


#: (swaps, r) -> bounds of the ratio of mean errors, and of the 95th percentile of ratios, found to optimal
RATIOS = {(0, 2): (1.35, 3.2), (0, 3): (2.3, 8.0), (2, 2): (1.25, 2.5), (2, 3): (1.9, 6.0)}


@pytest.mark.parametrize("swaps", [0, 2])
def test_distance_from_the_optimum(swaps):
    """12 keys of width 4, where the gap is widest, with the mean errors that are known for this setting."""
    count, n, width = 400, 12, 4
    q, k, v = (torch.randn(count, size, width, dtype=DOUBLE) for size in (1, n, n))
    weights = torch.softmax(q @ k.transpose(1, 2), dim=-1)
    best = best_errors((weights @ v)[:, 0], v, 3)
    oblivious = [errors("top-r", weights[:, None], v[:, None], r).flatten() for r in (1, 2, 3)]
    torch.testing.assert_close(
        torch.stack(best).mean(1), torch.tensor([0.80, 0.21, 0.05], dtype=DOUBLE), rtol=0, atol=0.06
    )
    expected = torch.tensor([1.18, 0.55, 0.35], dtype=DOUBLE)
    torch.testing.assert_close(torch.stack(oblivious).mean(1), expected, rtol=0, atol=0.1)
    for r in (2, 3):
        found = errors("value-aware-r", weights[:, None], v[:, None], r, aware_swaps=swaps).flatten()
        assert (found >= best[r - 1] - 1e-12).all()
        mean, tail = RATIOS[swaps, r]
        assert found.mean() / best[r - 1].mean() < mean
        assert (found / best[r - 1]).quantile(0.95) < tail
        assert found.mean() < 0.55 * oblivious[r - 1].mean()


@pytest.mark.parametrize("chunk", [1, 5, 17, 40])
def test_chunks_change_nothing(chunk):
    weights, v = random_weights("skewed", 2, 3, 17, 11), values("general", 2, 3, 11, 8)
    whole, used = mix("value-aware-r", weights, v, 4, aware_swaps=1)
    part, part_used = mix("value-aware-r", weights, v, 4, aware_swaps=1, aware_chunk=chunk)
    torch.testing.assert_close(part, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(part_used, used, rtol=0, atol=1e-9)


@pytest.mark.parametrize("pads", [0, 4])
def test_r_of_each_head(pads):
    """Each head as if it were alone: searched, exact and whole."""
    weights, v, rs = random_weights("skewed", 2, 4, 5, 11), values("general", 2, 4, 11, 3), (3, 1, 20, 5)
    pad = torch.zeros(2, 11, dtype=torch.bool)
    pad[1, :pads] = True
    weights = weights.masked_fill(pad[:, None, None], 0.0)
    weights = weights / weights.sum(-1, keepdim=True)
    mask = AttentionMask(key_padding=pad)
    out, used = mix("value-aware-r", weights, v, ":".join(map(str, rs)), mask)
    for head, r in enumerate(rs):
        one = slice(head, head + 1)
        alone, alone_used = mix("value-aware-r", weights[:, one], v[:, one], r, mask)
        torch.testing.assert_close(out[:, one], alone, rtol=0, atol=1e-12)
        assert ((used[:, one] > 0).sum(-1) <= max(r, 4)).all()
        if r <= 3:
            torch.testing.assert_close(used[:, one], alone_used, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", ["general", "degenerate"])
def test_single_precision(shape, dtype):
    """The float32 search finds mixtures as near as the float64 search does; autocast does not reach it."""
    weights, v = random_weights("skewed", 1, 2, 60, 50), values(shape, 1, 2, 50, 16)
    for r in (2, 5, 12):
        expected = errors("value-aware-r", weights, v, r)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            out, _ = mix("value-aware-r", weights.float(), v.float(), r)
        found = (weights @ v - out.double()).norm(dim=-1)
        assert abs(found.mean() / expected.mean() - 1) < 1e-2
        assert (found <= errors("top-r", weights, v, r) + 1e-5).all()


def test_values_that_nearly_coincide_do_not_block_the_others():
    """In float32, values on lines up to noise are refused as dependent, and the next best is found."""
    weights, v = random_weights("zeros", 20, 8, 9, 23), values("degenerate", 20, 8, 23, 6)
    v = (v + 1e-6 * torch.randn_like(v)).float()
    for r in (3, 4):
        oblivious = torch.minimum(*(errors(name, weights.float(), v, r) for name in ("top-r", "top-r-shifted")))
        assert (errors("value-aware-r", weights.float(), v, r) <= oblivious + 1e-5).all()


@pytest.mark.parametrize("width", [1, 4, 16])
@pytest.mark.parametrize("keys", [2, 13, 40, 150])
def test_exact_support(width, keys):
    v, alpha = values("degenerate", 2, keys + 2, width)[:, :keys], random_weights("skewed", 2, 5, keys)
    alpha[0, 0] = 0
    indices, beta = exact_support(v, alpha)
    assert indices.size(2) == beta.size(2) == min(keys, width + 1)
    assert (beta >= 0).all()
    torch.testing.assert_close(beta.sum(-1), alpha.sum(-1), rtol=0, atol=1e-12)
    sparse = torch.zeros_like(alpha).scatter_add(2, indices, beta)
    torch.testing.assert_close(sparse @ v, alpha @ v, rtol=0, atol=1e-12)


def test_gradients_are_those_of_the_optimum_on_its_support():
    """Against finite differences of the oracle's weights on the keys found."""
    keys, width, r = 9, 6, 3
    scores, v = torch.randn(1, 1, 4, keys, dtype=DOUBLE), values("general", 1, 1, keys, width)
    weights = torch.softmax(scores, dim=-1).requires_grad_()
    v.requires_grad_()
    cotangent, step = torch.randn(4, width, dtype=DOUBLE), 1e-5
    out, used = mix("value-aware-r", weights, v, r)
    assert ((used > 0).sum(-1) == r).all(), "an instance at a change of support has no derivative to compare with"
    (out[0, 0] * cotangent).sum().backward()
    chosen = used[0, 0].topk(r).indices

    def on_support(weights, v):
        o, kept = (weights @ v)[0, 0], v[0, 0][chosen]
        return ((affine_weights(kept - o[:, None])[:, None] @ kept)[:, 0] * cotangent).sum()

    with torch.no_grad():
        assert (out[0, 0] * cotangent).sum().item() == pytest.approx(on_support(weights, v).item(), abs=1e-10)
        for tensor in (weights, v):
            for at in range(tensor.numel()):
                values_at = []
                for sign in (1, -1):
                    tensor.view(-1)[at] += sign * step
                    values_at.append(on_support(weights, v).item())
                    tensor.view(-1)[at] -= sign * step
                expected = (values_at[0] - values_at[1]) / (2 * step)
                assert tensor.grad.view(-1)[at].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("r", [6, 9])
def test_gradients_are_dense_where_the_output_is(r):
    weights, v = random_weights("skewed", 2, 3, 7, 13), values("general", 2, 3, 13, 5)
    grads = []
    for attend in (lambda w, v: mix("value-aware-r", w, v, r)[0], torch.matmul):
        leaves = [x.clone().requires_grad_() for x in (weights, v)]
        attend(*leaves).square().sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    for ours, dense in zip(*grads):
        torch.testing.assert_close(ours, dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("r", [1, 3, 5])
def test_gradients_of_coinciding_values_are_finite(r, dtype):
    weights, v = random_weights("flat", 2, 3, 7, 13).to(dtype), values("degenerate", 2, 3, 13, 5).to(dtype)
    v[0] = v[0, :, :1]
    weights.requires_grad_()
    v.requires_grad_()
    out, used = mix("value-aware-r", weights, v, r)
    out.square().sum().backward()
    assert used.isfinite().all()
    for x in (weights, v):
        assert x.grad.isfinite().all()
        assert x.grad.abs().max() < 1e3


@pytest.mark.parametrize("option", ["swaps", "chunk"])
def test_bad_options_are_named(option):
    with pytest.raises(ValueError, match=f"--attention-value-aware-{option} -1"):
        mix("value-aware-r", torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), 1, **{f"aware_{option}": -1})
