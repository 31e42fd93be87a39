"""The fitted shared projection against brute force: scores of real inputs, and a general optimiser."""

import pytest
import torch

from fairseq_plugins.transfer import shared_fit
from fairseq_plugins.transfer.shared_fit import Inputs, ScoreMaps, SharedProjection, fit_pairwise, fit_symmetric

HEADS, KEYS = 3, 64
SIZES = [(3, 12), (4, 16), (6, 10), (2, 24)]  # width of a head, of the model


def random_maps(width, model, likeness=0.3, bias=0.5):
    """Keys are to some degree queries, as in trained models."""
    q, k = torch.randn(2, HEADS, width, model, dtype=torch.float64)
    return ScoreMaps(q, bias * torch.randn(HEADS, width, dtype=torch.float64), likeness * q + k)


def random_inputs(model):
    return Inputs(0.2 + torch.rand(model, dtype=torch.float64), torch.randn(model, dtype=torch.float64))


def sample(model, inputs=None):
    """KEYS vectors whose mean and covariance are exactly those that ``inputs`` say."""
    z = torch.randn(KEYS, model, dtype=torch.float64)
    z = z - z.mean(0)
    z = torch.linalg.qr(z)[0] * KEYS**0.5
    return z if inputs is None else inputs.mean + inputs.gain * z


def seen_by_softmax(scores):
    return scores - scores.mean(-1, keepdim=True)


def brute_error(maps, fitted, x):
    """Per head: the error of all scores of ``x`` with itself, key bias and all, about their means over the keys."""
    key_bias = 3 * torch.randn(len(maps.query_bias), 1, maps.query_bias.size(1), dtype=torch.float64)
    q = x @ maps.query_weight.transpose(1, 2) + maps.query_bias[:, None]
    k = x @ maps.key_weight.transpose(1, 2) + key_bias
    p = x @ fitted.weight.transpose(1, 2) + fitted.bias[:, None]
    wanted = seen_by_softmax(q @ k.transpose(1, 2))
    found = seen_by_softmax(p @ fitted.factors @ p.transpose(1, 2))
    return (found - wanted).square().sum((1, 2)).sqrt() / wanted.square().sum((1, 2)).sqrt()


@pytest.mark.parametrize("fit", [fit_pairwise, fit_symmetric])
@pytest.mark.parametrize("known_inputs", [False, True])
def test_the_reported_error_is_that_of_the_scores(fit, known_inputs):
    maps, inputs = random_maps(4, 16), random_inputs(16) if known_inputs else None
    fitted = fit(maps, inputs)
    torch.testing.assert_close(fitted.error, brute_error(maps, fitted, sample(16, inputs)))
    assert (fitted.error > 0.05).all()
    assert (fitted.error < 1).all()


def optimised(maps, x, symmetric, starts=3):
    """The least error that a quasi-Newton method finds over all P, b and S, from random starts, all in one descent."""
    many = ScoreMaps(*(torch.cat([tensor] * starts) for tensor in maps))
    return descended(many, x, symmetric).view(starts, HEADS).min(dim=0).values


def descended(maps, x, symmetric):
    heads, width, model = maps.query_weight.shape
    weight = torch.randn(heads, width, model, dtype=torch.float64).requires_grad_()
    bias = torch.randn(heads, width, dtype=torch.float64).requires_grad_()
    factors = torch.eye(width, dtype=torch.float64).repeat(heads, 1, 1).requires_grad_(not symmetric)
    trained = [weight, bias] + ([] if symmetric else [factors])
    optimizer = torch.optim.LBFGS(trained, max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def error():
        return brute_error(maps, SharedProjection(weight, bias, factors, None), x)

    def loss():
        optimizer.zero_grad()
        total = error().square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return error().detach()


@pytest.mark.parametrize(("width", "model"), SIZES)
def test_no_optimiser_finds_a_better_pairwise_projection(width, model):
    maps, x = random_maps(width, model), sample(model)
    error, reference = fit_pairwise(maps, starts=8, tolerance=1e-12).error, optimised(maps, x, symmetric=False)
    assert (error <= reference + 1e-5).all()
    assert (reference <= error + 0.02).all(), "the optimiser is no test"


@pytest.mark.parametrize(("width", "model"), SIZES)
def test_no_optimiser_finds_a_better_symmetric_projection(width, model):
    maps, x = random_maps(width, model, bias=0.0), sample(model)
    error, reference = fit_symmetric(maps).error, optimised(maps, x, symmetric=True)
    assert (error <= reference + 1e-5).all()
    assert (reference <= error + 0.02).all(), "the optimiser is no test"


def test_the_inputs_matter():
    """A fit for inputs of uneven scale and mean is better on them than one for even inputs."""
    maps, inputs = random_maps(4, 16), random_inputs(16)
    x = sample(16, inputs)
    assert (brute_error(maps, fit_pairwise(maps, inputs), x) < 0.95 * brute_error(maps, fit_pairwise(maps), x)).all()


@pytest.mark.parametrize("known_inputs", [False, True])
def test_what_a_pairwise_model_scores_is_met_exactly(known_inputs):
    inputs = random_inputs(16) if known_inputs else None
    shared, bias, factors = random_maps(4, 16)[0], torch.randn(HEADS, 4).double(), torch.randn(HEADS, 4, 4).double()
    folded = ScoreMaps(factors.transpose(1, 2) @ shared, (bias[:, None] @ factors)[:, 0], shared)
    fitted = fit_pairwise(folded, inputs)
    assert (fitted.error < 1e-12).all()
    assert (brute_error(folded, fitted, sample(16)) < 1e-12).all(), "exact on any inputs, not only on these"


def test_what_a_symmetric_model_scores_is_found_again():
    weight, bias, _ = random_maps(4, 16)
    fitted = fit_symmetric(ScoreMaps(weight, bias, weight))
    torch.testing.assert_close(fitted.weight, weight)
    torch.testing.assert_close(fitted.bias, bias)
    assert (fit_pairwise(ScoreMaps(weight, bias, weight)).error < 1e-12).all()


def test_the_projection_keeps_the_size_of_the_queries():
    maps = random_maps(4, 16)
    fitted = fit_pairwise(maps, random_inputs(16))
    torch.testing.assert_close(fitted.weight.square().mean((1, 2)), maps.query_weight.square().mean((1, 2)))


def test_the_search_never_goes_down(monkeypatch):
    """Step by step, on problems of which some make the plain fixed point overshoot."""
    monkeypatch.setattr(shared_fit, "_MOST_STEPS", 1)
    for _ in range(10):
        form, linear, _ = shared_fit._restricted(random_maps(3, 8, likeness=0.5))
        subspace = torch.linalg.qr(torch.randn(HEADS, form.size(1), 3, dtype=torch.float64))[0]
        value = shared_fit._captured(form, linear, subspace)
        for _ in range(50):
            subspace, reached = shared_fit._climb(form, linear, subspace, tolerance=0)
            assert (reached >= value * (1 - 1e-13)).all()
            value = reached


def test_a_dead_head_stays_finite():
    maps = ScoreMaps(*(torch.zeros_like(tensor) for tensor in random_maps(4, 16)))
    for fitted in (fit_pairwise(maps), fit_symmetric(maps)):
        assert all(torch.isfinite(tensor).all() for tensor in fitted)
        assert (fitted.error == 0).all()
