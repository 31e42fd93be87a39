"""The r largest weights, renormalised or shifted; and what all sparse mixings have in common."""

import pytest
import torch
from brute_force import best_errors, random_weights
from choices import KERNELS, SPARSE

from fairseq_plugins.attention.largest import largest
from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.mix.dense import DenseMixing
from fairseq_plugins.attention.mix.sparse import parse_r
from fairseq_plugins.attention.normalise.exp import ExpKernel
from fairseq_plugins.attention.stages import KERNEL, MIXING

BATCH, HEADS, KEYS, WIDTH = 2, 3, 11, 4


def sparse(name, r):
    return MIXING[name](MIXING[name].Options(attention_r=str(r)))


def default(choice):
    return choice(choice.Options() if choice.Options else None)


def no_dropout():
    return torch.nn.Dropout(0.0).eval()


def qkv(queries=KEYS, dtype=torch.float64):
    shapes = (queries, KEYS, KEYS)
    return [torch.randn(BATCH, HEADS, length, WIDTH, dtype=dtype) for length in shapes]


def padding(side):
    """The second sentence is 4 pads longer, or all of it is padding."""
    pad = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    pad[1, {"left": slice(0, 4), "right": slice(7, KEYS), "all": slice(0, KEYS)}[side]] = True
    return pad


MASKS = {
    "none": lambda: AttentionMask(),
    "causal": lambda: AttentionMask(causal=True),
    "left": lambda: AttentionMask(causal=True, key_padding=padding("left")),
    "right": lambda: AttentionMask(causal=True, key_padding=padding("right")),
    "all": lambda: AttentionMask(key_padding=padding("all")),
}


def test_r():
    assert parse_r("8") == [[8]]
    assert parse_r("4,8, 8") == [[4], [8], [8]]
    assert parse_r("4:8:8:2") == [[4, 8, 8, 2]]
    assert parse_r("4:8,2:2") == [[4, 8], [2, 2]]


@pytest.mark.parametrize("text", ["", "0", "-1", "4,", "4:x", "2.5", "4;8"])
def test_bad_r_is_named(text):
    with pytest.raises(ValueError, match=f"--attention-r {text}: give positive integers"):
        sparse("top-r", text)


def test_r_of_each_layer_and_head():
    mixing = sparse("top-r", "4,8:2")
    with pytest.raises(ValueError, match=r"--attention-r 4,8:2: .* one r for all layers"):
        mixing.rs(2)
    with pytest.raises(ValueError, match="--attention-r 4,8:2: 2 layers given, the model has 3"):
        mixing.place(0, 3)
    mixing.place(0, 2)
    assert mixing.rs(3) == [4, 4, 4]
    mixing.place(1, 2)
    assert mixing.rs(2) == [8, 2]
    with pytest.raises(ValueError, match="--attention-r 4,8:2: 2 heads given, the model has 3"):
        mixing.rs(3)
    everywhere = sparse("top-r", "4")
    assert everywhere.rs(2) == [4, 4]
    everywhere.place(5, 6)
    assert everywhere.rs(2) == [4, 4]


@pytest.mark.parametrize("kind", ["skewed", "zeros"])
@pytest.mark.parametrize("r", ["1", "3", "2:5:10"])
def test_definitions(kind, r):
    """Query by query, from the sorted weights."""
    weights, (_, _, v) = random_weights(kind, BATCH, HEADS, 5, KEYS), qkv()
    rs = [int(part) for part in r.split(":")] * (1 if ":" in r else HEADS)
    for name in ("top-r", "top-r-shifted"):
        out, used = sparse(name, r).mix(weights, v, AttentionMask(), no_dropout())
        for b in range(BATCH):
            for h in range(HEADS):
                for t in range(5):
                    row = weights[b, h, t]
                    keys = sorted(range(KEYS), key=lambda i, row=row: -row[i].item())[: rs[h]]
                    mass = sum(row[i].item() for i in keys)
                    beta = torch.zeros(KEYS, dtype=torch.float64)
                    for i in keys:
                        beta[i] = row[i] / mass if name == "top-r" else row[i] + (1 - mass) / rs[h]
                    torch.testing.assert_close(used[b, h, t], beta, rtol=0, atol=1e-12)
                    torch.testing.assert_close(out[b, h, t], beta @ v[b, h], rtol=0, atol=1e-12)


@pytest.mark.parametrize("r", [1, 4, 10])
def test_error_is_dropped_weight_times_distance_of_means(r):
    weights, (_, _, v) = random_weights("skewed", BATCH, HEADS, 5, KEYS), qkv()
    out, used = sparse("top-r", r).mix(weights, v, AttentionMask(), no_dropout())
    dropped = weights.masked_fill(used > 0, 0.0)
    delta = dropped.sum(-1, keepdim=True)
    expected = (delta * ((dropped / delta) @ v - used @ v)).norm(dim=-1)
    torch.testing.assert_close((weights @ v - out).norm(dim=-1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("r", [1, 2, 4])
def test_shifted_is_optimal_for_orthonormal_values(r):
    n = 6
    weights = random_weights("skewed", 1, 1, 9, n)
    v = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q
    out, _ = sparse("top-r-shifted", r).mix(weights, v[None, None], AttentionMask(), no_dropout())
    o = (weights @ v)[0, 0]
    best = best_errors(o, v.expand(9, n, n), r)[-1]
    torch.testing.assert_close((o - out[0, 0]).norm(dim=1), best, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mask", sorted(MASKS))
@pytest.mark.parametrize("name", SPARSE)
def test_weights_are_a_distribution_on_allowed_keys(name, mask, kernel):
    """At most r weights, 0 for dead queries; asked for or not, the output is theirs; it is dense up to r keys."""
    (q, k, v), mask, r = qkv(), MASKS[mask](), 3
    v.requires_grad_()
    q.requires_grad_()
    kernel = default(KERNEL[kernel])
    out, used = sparse(name, r).attend(kernel, q, k, v, mask, no_dropout(), True)
    alone, nothing = sparse(name, r).attend(kernel, q, k, v, mask, no_dropout(), False)
    assert nothing is None
    torch.testing.assert_close(alone, out, rtol=0, atol=1e-12)
    torch.testing.assert_close(used @ v, out, rtol=0, atol=1e-12)

    allowed = mask.allowed(KEYS, q.device)
    allowed = torch.ones_like(used, dtype=torch.bool) if allowed is None else allowed.expand_as(used)
    assert (used >= 0).all()
    assert (used[~allowed] == 0).all()
    assert ((used > 0).sum(-1) <= r).all()
    torch.testing.assert_close(used.sum(-1), allowed.any(-1).to(used.dtype), rtol=0, atol=1e-12)
    few = allowed.sum(-1) <= r
    dense = kernel.weights(q, k, mask) @ v
    torch.testing.assert_close(out[few], dense[few], rtol=0, atol=1e-12)

    gradients = torch.autograd.grad(out.square().sum(), (q, v))
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("name", SPARSE)
def test_all_keys_are_dense_mixing(name, need_weights):
    q, k, v = qkv(dtype=torch.float32)
    call = (ExpKernel(None), q, k, v, AttentionMask(causal=True), no_dropout(), need_weights)
    for ours, dense in zip(sparse(name, KEYS).attend(*call), DenseMixing(None).attend(*call)):
        assert (ours is None and dense is None) or torch.equal(ours, dense)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SPARSE)
def test_half_precision_adds_up_in_float32(name, dtype):
    weights, (_, _, v) = random_weights("skewed", BATCH, HEADS, 5, KEYS).float(), qkv(dtype=torch.float32)
    v = v.to(dtype)
    out, used = sparse(name, 3).mix(weights, v, AttentionMask(), no_dropout())
    exact, _ = sparse(name, 3).mix(weights, v.float(), AttentionMask(), no_dropout())
    assert out.dtype == dtype
    assert used.dtype == torch.float32
    assert torch.equal(out, exact.to(dtype))


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("r", [3, WIDTH + 2])
def test_dropout_is_of_chosen_weights(name, r):
    weights, (_, _, v) = random_weights("skewed", BATCH, HEADS, 5, KEYS), qkv()
    seen = []

    def tripled(chosen):
        seen.append(chosen.shape)
        return 3 * chosen

    out, used = sparse(name, r).mix(weights, v, AttentionMask(), no_dropout())
    more, same = sparse(name, r).mix(weights, v, AttentionMask(), tripled)
    assert [shape[:-1] for shape in seen] == [(BATCH, HEADS, 5)]
    assert seen[0][-1] <= r
    torch.testing.assert_close(more, 3 * out, rtol=0, atol=1e-12)
    assert torch.equal(used, same)
    q, k, _ = qkv()
    call = (ExpKernel(None), q, k, v, AttentionMask(), torch.nn.Dropout(0.5).train(), False)
    assert not torch.equal(sparse(name, r).attend(*call)[0], sparse(name, r).attend(*call)[0])


@pytest.mark.parametrize("name", [name for name in SPARSE if not MIXING[name].searches])
def test_gradients(name):
    (q, k, v), mask = qkv(queries=2), AttentionMask(key_padding=padding("right"))

    def attend(q, k, v):
        return sparse(name, 3).attend(ExpKernel(None), q, k, v, mask, no_dropout(), False)[0]

    assert torch.autograd.gradcheck(attend, [x[:, :1].clone().requires_grad_() for x in (q, k, v)])


@pytest.mark.parametrize("r", [1, 2, 5])
def test_of_equal_weights_the_first_are_taken(r):
    """However many keys there are, and whatever torch.topk does; gradients reach the chosen ones."""
    for keys in (5, 6, 40, 300):
        weights = torch.full((3, 2, 4, keys), 1 / keys, dtype=torch.float64)
        weights[1] = torch.rand(2, 4, keys).softmax(-1)  # no ties
        weights[2, ..., 3] *= 2  # one is larger
        weights.requires_grad_()
        kept, indices = largest(weights, r)
        assert (indices[0].sort(dim=-1)[0] == torch.arange(r)).all()
        assert torch.equal(kept[1], weights[1].topk(r, dim=-1)[0])
        expected = [3, *(i for i in range(keys) if i != 3)][:r]
        assert (indices[2].sort(dim=-1)[0] == torch.tensor(sorted(expected))).all()
        kept.sum().backward()
        assert torch.equal(weights.grad.sum(-1), torch.full((3, 2, 4), float(r), dtype=torch.float64))
