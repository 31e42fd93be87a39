"""The fused loss against fairseq's own arithmetic on whole logits: values, gradients, types, and memory."""

import pytest
import torch
import torch.nn.functional as F
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss

from fairseq_plugins.criterions import linear_cross_entropy as module
from fairseq_plugins.criterions.linear_cross_entropy import default_chunk_size, linear_cross_entropy

ROWS, WIDTH, VOCABULARY = 11, 7, 23
CHUNKS = [1, 3, ROWS, 100, 0]


def inputs(dtype=torch.float64, rows=ROWS):
    features = torch.randn(rows, WIDTH, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, dtype=torch.float64).to(dtype).requires_grad_()
    return features, weight, torch.randint(VOCABULARY, (rows,))


def whole(features, weight, target, smoothing):
    """fairseq's loss and nll of logits that are all there, in the inputs' own precision."""
    lprobs = F.log_softmax(F.linear(features, weight), dim=-1)
    return label_smoothed_nll_loss(lprobs, target, smoothing, ignore_index=-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.37])
@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_equals_whole_logits(chunk_size, smoothing):
    features, weight, target = inputs()
    sums = linear_cross_entropy(features, weight, target, smoothing, chunk_size)
    loss, nll_loss = whole(features, weight, target, smoothing)
    torch.testing.assert_close(sums.loss, loss, rtol=0, atol=1e-10)
    torch.testing.assert_close(sums.nll_loss, nll_loss, rtol=0, atol=1e-10)
    ours = torch.autograd.grad(3.5 * sums.loss, (features, weight))
    expected = torch.autograd.grad(3.5 * loss, (features, weight))
    for gradient, other in zip(ours, expected):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equals_torchs_cross_entropy(smoothing):
    """Another way to the same number: torch spreads its smoothing over all words, the target included."""
    features, weight, target = inputs()
    loss = linear_cross_entropy(features, weight, target, smoothing, 4).loss
    torchs = smoothing * VOCABULARY / (VOCABULARY - 1)
    expected = F.cross_entropy(features @ weight.t(), target, label_smoothing=torchs, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_numerical_gradient(smoothing):
    features, weight, target = inputs(rows=5)
    assert torch.autograd.gradcheck(
        lambda h, w: linear_cross_entropy(h, w, target, smoothing, 2).loss, (features, weight)
    )


def test_only_one_side_needs_a_gradient():
    features, weight, target = inputs()
    for frozen, trained in ((features, weight), (weight, features)):
        frozen.requires_grad_(False)
        (gradient,) = torch.autograd.grad(linear_cross_entropy(features, weight, target, 0.1, 4).loss, trained)
        (expected,) = torch.autograd.grad(whole(features, weight, target, 0.1)[0], trained)
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)
        frozen.requires_grad_(True)


def test_backward_twice_gives_the_same():
    features, weight, target = inputs()
    loss = linear_cross_entropy(features, weight, target, 0.1, 4).loss
    first = torch.autograd.grad(5 * loss, features, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(5 * loss, features)[0], first, rtol=0, atol=0)


def test_second_derivative_is_refused():
    features, weight, target = inputs()
    loss = linear_cross_entropy(features, weight, target, 0.1, 4).loss
    with pytest.raises(RuntimeError, match="second derivative"):
        torch.autograd.grad(loss, features, create_graph=True)


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_correct_words(chunk_size):
    features, weight, target = inputs()
    best = (features @ weight.t()).argmax(dim=-1)
    target[::2] = best[::2]
    sums = linear_cross_entropy(features, weight, target, 0.0, chunk_size, count_correct=True)
    assert sums.correct == (best == target).sum() >= ROWS // 2
    assert linear_cross_entropy(features, weight, target).correct is None


def test_no_rows():
    features, weight, target = inputs(rows=0)
    sums = linear_cross_entropy(features, weight, target, 0.1, count_correct=True)
    assert sums.loss == sums.nll_loss == sums.correct == 0
    assert torch.autograd.grad(sums.loss, weight)[0].eq(0).all()


def test_large_logits():
    features, weight, target = inputs(torch.float32)
    with torch.no_grad():
        features *= 1e3
    sums = linear_cross_entropy(features, weight, target, 0.1, 4)
    torch.testing.assert_close(sums.loss, whole(features, weight, target, 0.1)[0], rtol=1e-5, atol=0)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(sums.loss, (features, weight)))


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_single_precision(chunk_size):
    features, weight, target = inputs(torch.float32)
    loss = linear_cross_entropy(features, weight, target, 0.1, chunk_size).loss
    expected = whole(features.double(), weight.double(), target, 0.1)[0]
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    for gradient, other in zip(
        torch.autograd.grad(loss, (features, weight)), torch.autograd.grad(expected, (features, weight))
    ):
        torch.testing.assert_close(gradient, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("rows", "chunk_size"), [(ROWS, 3), (ROWS, 100), (1000, 1)])
def test_half_precision(dtype, rows, chunk_size):
    """As far from the truth as fairseq's arithmetic on the same half precision inputs, and no farther."""
    features, weight, target = inputs(dtype, rows)
    loss = linear_cross_entropy(features, weight, target, 0.1, chunk_size).loss
    stock = stock_on_half(features, weight, target)
    truth = whole(features.double(), weight.double(), target, 0.1)[0]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, stock, rtol=1e-6, atol=0)
    ours, stocks, exact = (torch.autograd.grad(value, (features, weight)) for value in (loss, stock, truth))
    for gradient, other, true in zip(ours, stocks, exact):
        assert gradient.dtype == dtype
        assert (gradient.double() - true).norm() <= 1.5 * (other.double() - true).norm()


def stock_on_half(features, weight, target):
    """fairseq's loss: half precision logits, log-probabilities in float32."""
    lprobs = F.log_softmax(F.linear(features, weight), dim=-1, dtype=torch.float32)
    return label_smoothed_nll_loss(lprobs, target, 0.1, ignore_index=-1)[0]


def test_small_gradients_survive_float16():
    """The loss's scale reaches them before they are rounded, as it does in fairseq's own backward pass."""
    features, weight, target = inputs(torch.float16)
    with torch.no_grad():  # one word, the target, has all but about 1e-7 of each row's probability
        features[:], target[:] = 2.0, 0
        weight *= 0.01
        weight[0] = 16 / (2 * WIDTH)
    (gradient,) = torch.autograd.grad(128 * linear_cross_entropy(features, weight, target, 0.0, 3).loss, weight)
    exact = torch.autograd.grad(128 * whole(features.double(), weight.double(), target, 0.0)[0], weight)[0]
    torch.testing.assert_close(gradient[1:], exact[1:], rtol=0.02, atol=0)


def test_autocast_chooses_the_type_of_the_products():
    features, weight, target = inputs(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = linear_cross_entropy(features, weight, target, 0.1, 3)
        stock = stock_on_half(features, weight, target)
    plain = linear_cross_entropy(features, weight, target, 0.1, 3).loss
    assert sums.loss.dtype == torch.float32
    assert sums.loss != plain
    torch.testing.assert_close(sums.loss, stock, rtol=1e-6, atol=0)
    for gradient, other in zip(*(torch.autograd.grad(loss, (features, weight)) for loss in (sums.loss, stock))):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, other, rtol=0, atol=0.02)


def test_no_gradient_is_made_where_none_is_needed(monkeypatch):
    features, weight, target = inputs()
    monkeypatch.setattr(module._Chunks, "_add_gradients", None)
    with torch.no_grad():
        loss = linear_cross_entropy(features, weight, target, 0.1, 3).loss
    torch.testing.assert_close(loss, whole(features, weight, target, 0.1)[0].detach(), rtol=0, atol=1e-10)


def test_never_holds_all_logits():
    """The largest tensor of a step has chunk x V elements, or is as large as an input."""
    rows, chunk = 1000, 8
    features, weight, target = inputs(torch.float32, rows)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for tensor in torch.utils._pytree.tree_flatten(out)[0]:
                if torch.is_tensor(tensor):
                    largest = max(largest, tensor.numel())
            return out

    with Watch():
        linear_cross_entropy(features, weight, target, 0.1, chunk, count_correct=True).loss.backward()
    assert chunk * VOCABULARY < largest <= max(rows * WIDTH, VOCABULARY * WIDTH)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_default_chunk(device):
    """A larger vocabulary has fewer rows of about as many bytes, down to a number that is still quick."""
    few, many, huge = (default_chunk_size(size, torch.device(device)) for size in (20000, 1000, 10**9))
    assert many == pytest.approx(20 * few, rel=0.01)
    assert few > huge == module.LEAST_ROWS
