"""The fused optimizer against fairseq's own: updates, scaling, clipping, and states that either one continues."""

import copy

import pytest
import torch
from fairseq import utils
from fairseq.optim.adam import Adam

from fairseq_plugins.optim import adam_update
from fairseq_plugins.optim.adam_update import AdamStep
from fairseq_plugins.optim.fused_adam import FusedAdam
from fairseq_plugins.optim.gradients import clip_norm, multiply

SHAPES = [(7, 5), (13,), (1,), (), (3, 2, 9), (129, 3)]
SETTINGS = {"lr": 0.03, "betas": (0.9, 0.98), "eps": 1e-3, "weight_decay": 0.2}  # a large eps, to tell where it goes


def parameters(dtype=torch.float32):
    torch.manual_seed(4)
    return [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES]


def give_gradients(params, seed, without=()):
    generator = torch.Generator().manual_seed(seed)
    for i, p in enumerate(params):
        gradient = torch.randn(p.shape, generator=generator).to(p.dtype)
        p.grad = None if i in without else gradient


def run(optimizer, params, steps, first=0, without=lambda step: ()):
    for step in range(first, first + steps):
        give_gradients(params, step, without(step))
        optimizer.step()


def assert_same(params, others, **tolerance):
    for p, other in zip(params, others):
        torch.testing.assert_close(p, other, **tolerance)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_equals_fairseqs_adam(steps):
    ours, theirs = parameters(), parameters()
    run(FusedAdam(ours, **SETTINGS), ours, steps)
    run(Adam(theirs, **SETTINGS), theirs, steps)
    assert_same(ours, theirs, rtol=1e-6, atol=1e-7)


def test_torchs_epsilon_is_another():
    """So the comparison with fairseq's tells the two apart."""
    ours, torchs = parameters(), parameters()
    run(FusedAdam(ours, **SETTINGS), ours, 1)
    run(torch.optim.AdamW(torchs, **SETTINGS), torchs, 1)
    assert (ours[0] - torchs[0]).abs().max() > 1e-4


def test_equals_the_formula_in_double_precision():
    """Adam of one number by hand, with fairseq's place of epsilon; a step without a gradient counts for nothing."""
    p = torch.nn.Parameter(torch.tensor([0.7, -0.2], dtype=torch.float64))
    optimizer = FusedAdam([p], **SETTINGS)
    x, m, v = p.detach().clone(), torch.zeros(2).double(), torch.zeros(2).double()
    for t in range(1, 5):
        g = torch.tensor([0.3 * t, -1.0], dtype=torch.float64)
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
        x = x - 0.2 * 0.03 * x
        x = x - 0.03 * (1 - 0.98**t) ** 0.5 / (1 - 0.9**t) * m / (v.sqrt() + 1e-3)
        p.grad = g
        optimizer.step()
        p.grad = None
        optimizer.step()
    torch.testing.assert_close(p.detach(), x, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("update", [adam_update.fused_update, adam_update.foreach_update])
def test_both_kernels_agree_with_fairseqs_loop(update):
    ours, theirs = parameters(), parameters()
    m, v = ([torch.zeros_like(p.data) for p in ours] for _ in range(2))
    for t in range(1, 4):
        give_gradients(ours, t)
        numbers = AdamStep(t, 0.03, 0.9, 0.98, 1e-3, 0.2)
        update(numbers, [p.data for p in ours], [p.grad for p in ours], m, v)
    run(Adam(theirs, **SETTINGS), theirs, 3, first=1)
    exact = update is adam_update.foreach_update
    assert_same(ours, theirs, **({"rtol": 0, "atol": 0} if exact else {"rtol": 1e-6, "atol": 1e-7}))


def test_parameters_with_fewer_steps_behind_them():
    """Their bias corrections are their own."""

    def without(step):
        return [(), (0, 3), (1,)][step % 3]

    ours, theirs = parameters(), parameters()
    run(FusedAdam(ours, **SETTINGS), ours, 7, without=without)
    run(Adam(theirs, **SETTINGS), theirs, 7, without=without)
    assert_same(ours, theirs, rtol=1e-6, atol=1e-7)


def test_parameter_groups_keep_their_settings():
    ours, theirs = parameters(), parameters()
    split = [Adam(theirs, **SETTINGS), FusedAdam(ours, **SETTINGS)]
    for optimizer, params in zip(split, (theirs, ours)):
        optimizer.param_groups[0]["params"] = params[:2]
        optimizer.add_param_group({"params": params[2:], "lr": 0.5, "weight_decay": 0.0, "betas": (0.5, 0.6)})
        run(optimizer, params, 3)
    assert_same(ours, theirs, rtol=1e-5, atol=1e-6)


def test_gradient_in_another_layout():
    """The fused kernel would read its memory in the wrong order."""
    ours = torch.nn.Parameter(torch.randn(5, 3))
    theirs = torch.nn.Parameter(ours.detach().clone())
    ours.grad = theirs.grad = torch.randn(3, 5).t()
    FusedAdam([ours], **SETTINGS).step()
    Adam([theirs], **SETTINGS).step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters_have_states_in_single(dtype):
    """As under --memory-efficient-fp16: rounded from the same float32 update."""
    ours, theirs = parameters(dtype), parameters(dtype)
    optimizers = FusedAdam(ours, **SETTINGS), Adam(theirs, **SETTINGS)
    run(optimizers[0], ours, 3)
    run(optimizers[1], theirs, 3)
    assert all(state["exp_avg"].dtype == torch.float32 for state in optimizers[0].state.values())
    assert_same(ours, theirs, rtol=torch.finfo(dtype).eps, atol=0)  # the last place may round the other way


@pytest.mark.parametrize(("first", "then"), [(Adam, FusedAdam), (FusedAdam, Adam), (FusedAdam, FusedAdam)])
def test_state_continues_with_either(first, then):
    straight, resumed = parameters(), parameters()
    run(first(straight, **SETTINGS), straight, 6)
    before = first(resumed, **SETTINGS)
    run(before, resumed, 3)
    after = then(resumed, **SETTINGS)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    run(after, resumed, 3, first=3)
    exact = first is then
    assert_same(resumed, straight, **({"rtol": 0, "atol": 0} if exact else {"rtol": 1e-6, "atol": 1e-7}))


def test_sparse_gradients_are_refused():
    p = torch.nn.Parameter(torch.zeros(4))
    p.grad = torch.zeros(4).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        FusedAdam([p], **SETTINGS).step()


@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("aggregate", [None, lambda norm: 3 * norm])
def test_clipping_equals_fairseqs(max_norm, dtype, aggregate):
    ours, theirs = parameters(dtype), parameters(dtype)
    for params in (ours, theirs):
        params[1].expert = True
        give_gradients(params, 8, without=(2,))
    norm = clip_norm(ours, max_norm, aggregate)
    expected = utils.clip_grad_norm_(theirs, max_norm, aggregate)
    assert norm.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(norm, expected, rtol=1e-6, atol=0)
    for p, other in zip(ours, theirs):
        if other.grad is None:
            assert p.grad is None
        else:
            torch.testing.assert_close(p.grad, other.grad, rtol=1e-6 if dtype == torch.float32 else 1e-2, atol=0)


def test_norm_of_half_precision_gradients_does_not_overflow():
    p = torch.nn.Parameter(torch.zeros(9, dtype=torch.float16))
    p.grad = torch.full((9,), 6e4, dtype=torch.float16)
    torch.testing.assert_close(clip_norm([p], 0.0), torch.tensor(3 * 6e4), rtol=1e-3, atol=0)


def test_nothing_to_clip():
    assert clip_norm([], 1.0) == 0
    assert clip_norm(parameters(), 1.0) == 0


def test_gradients_that_are_not_numbers_stay_so():
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([1.0, float("nan"), 2.0])
    assert clip_norm([p], 1.0).isnan()
    assert p.grad.isnan().all()


@pytest.mark.parametrize("factor", [0.25, 3, torch.tensor(0.25), torch.tensor([0.25])])
def test_multiplying(factor):
    gradients = [torch.randn(shape) for shape in SHAPES] + [torch.randn(3).bfloat16()]
    expected = [gradient * float(factor) for gradient in gradients]
    multiply(gradients, factor)
    assert_same(gradients, expected, rtol=0, atol=0)
