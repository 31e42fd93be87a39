"""Symmetric and pairwise attention: keys are the query projection of the attended side."""

import pytest
import torch
from choices import SHARED
from torch.utils.flop_counter import FlopCounterMode

from fairseq_plugins.attention import CAUSAL, AttentionConfig

HEADS, WIDTH = 2, 12


def attention(compatibility, init="xavier", **options):
    kwargs = {
        name: options.pop(name) for name in ("self_attention", "kdim", "encoder_decoder_attention") if name in options
    }
    config = AttentionConfig(compatibility=compatibility, init=init, **options)
    return config.build("encoder", WIDTH, HEADS, **kwargs).double()


def scores(module, x, y):
    found, _ = module(x, y, y, before_softmax=True)
    return found.view(x.size(1), HEADS, len(x), len(y))


@pytest.mark.parametrize("projection", ["linear", "neural"])
def test_symmetric_scores_are_symmetric(projection):
    x = torch.randn(7, 3, WIDTH, dtype=torch.float64)
    found = scores(attention("symmetric", attention_projection=projection), x, x)
    torch.testing.assert_close(found, found.transpose(-2, -1), rtol=0, atol=1e-14)
    pairwise = scores(attention("pairwise", attention_projection=projection), x, x)
    assert (pairwise - pairwise.transpose(-2, -1)).abs().max() > 0.01, "S is not constrained symmetric"


@pytest.mark.parametrize("projection", ["linear", "neural"])
def test_scores_are_the_papers(projection):
    """q(x) S q(y)^T / sqrt(D), across sequences, biases included; S = 1 gives the symmetric scores."""
    x, y = torch.randn(5, 2, WIDTH, dtype=torch.float64), torch.randn(7, 2, WIDTH, dtype=torch.float64)
    module = attention("pairwise", attention_projection=projection)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    q, k = (module.q_proj(z).view(len(z), 2, HEADS, WIDTH // HEADS) for z in (x, y))
    expected = (
        torch.einsum("tbhd,hde,sbhe->bhts", q, module.compatibility.pairwise_factors, k) / (WIDTH // HEADS) ** 0.5
    )
    torch.testing.assert_close(scores(module, x, y), expected, rtol=1e-12, atol=1e-12)
    symmetric = attention("symmetric", attention_projection=projection)
    symmetric.load_state_dict({n: p for n, p in module.state_dict().items() if "pairwise" not in n})
    torch.nn.init.zeros_(module.compatibility.pairwise_factors)
    with torch.no_grad():
        module.compatibility.pairwise_factors += torch.eye(WIDTH // HEADS)
    torch.testing.assert_close(scores(module, x, y), scores(symmetric, x, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("compatibility", SHARED)
def test_scaling_the_query_never_reaches_the_key(compatibility, need_weights):
    """fairseq's own attention scales q in place; a key that is the same tensor must not see it."""
    module = attention(compatibility, self_attention=True)
    x = torch.randn(6, 2, WIDTH, dtype=torch.float64)
    same, _ = module(x, x, x, need_weights=need_weights)
    module.self_attention = False  # the key is then projected by itself, from a tensor of its own
    apart, _ = module(x, x.clone(), x.clone(), need_weights=need_weights)
    torch.testing.assert_close(same, apart, rtol=0, atol=1e-14)
    kept = []
    module.q_proj.register_forward_hook(lambda _, __, out: kept.append((out, out.clone())))
    module(x, x, x, need_weights=need_weights)
    assert all(torch.equal(out, copy) for out, copy in kept)


@pytest.mark.parametrize("compatibility", SHARED)
def test_self_attention_projects_once(compatibility):
    calls = []
    module = attention(compatibility, self_attention=True)
    module.q_proj.register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(4, 2, WIDTH, dtype=torch.float64)
    module(x, x, x, attn_mask=CAUSAL)
    assert len(calls) == 1


def test_work_of_a_layer():
    """Multiplications, forward and backward: a projection less than dot, and for S a product of D instead of C."""
    tokens, work = 3 * 5, {}
    x = torch.randn(5, 3, WIDTH, dtype=torch.float64)
    for compatibility in ("dot", "symmetric", "pairwise"):
        module = attention(compatibility, self_attention=True)
        with FlopCounterMode(display=False) as counted:
            module(x, x, x, need_weights=False)[0].sum().backward()
        work[compatibility] = counted.get_total_flops()
    # a product forward and two backward, two operations each; but no gradient of the input x is asked for
    projection, form = 2 * 2 * tokens * WIDTH * WIDTH, 3 * 2 * tokens * WIDTH * WIDTH // HEADS
    assert work["dot"] - work["symmetric"] == projection
    assert work["pairwise"] - work["symmetric"] == form


@pytest.mark.parametrize("compatibility", SHARED)
def test_no_key_projection_exists(compatibility):
    """A layer has d^2 + d parameters less, and d * D more with S; the cache holds the shared projection."""
    module = attention(compatibility, self_attention=True)
    own = {"pairwise": WIDTH * WIDTH // HEADS, "symmetric": 0}.get(compatibility, size(module.compatibility))
    assert size(attention("dot")) - size(module) == WIDTH**2 + WIDTH - own
    assert not any(name.startswith("k_proj") for name in module.state_dict())
    x, state = torch.randn(1, 2, WIDTH, dtype=torch.float64), {}
    module(x, x, x, buffer=state)
    cached = state["prev_key"]
    torch.testing.assert_close(cached[:, :, 0].flatten(1), module.q_proj(x)[0], rtol=0, atol=0)


def size(module):
    return sum(p.numel() for p in module.parameters())


def test_other_key_width_is_refused():
    with pytest.raises(ValueError, match="width"):
        attention("symmetric", kdim=WIDTH + 1, encoder_decoder_attention=True)


@pytest.mark.parametrize(("init", "std"), [("normal", 1.0), ("scaled", 16**-0.5)])
def test_random_inits(init, std):
    config = AttentionConfig(compatibility="pairwise", pairwise_init=init)
    factors = config.build("encoder", 128, 8).compatibility.pairwise_factors
    assert factors.shape == (8, 16, 16)
    assert factors.std().item() == pytest.approx(std, rel=0.05)
    assert abs(factors.mean().item()) < 0.1 * std


def test_identity_init_begins_as_symmetric_attention():
    x = torch.randn(6, 2, WIDTH, dtype=torch.float64)
    pairwise = attention("pairwise", attention_pairwise_init="identity")
    symmetric = attention("symmetric")
    symmetric.load_state_dict({n: p for n, p in pairwise.state_dict().items() if "pairwise" not in n})
    torch.testing.assert_close(pairwise(x, x, x)[0], symmetric(x, x, x)[0], rtol=0, atol=1e-14)


def test_unknown_init_is_named():
    with pytest.raises(ValueError, match="--attention-pairwise-init zeros: choose from normal, identity, scaled"):
        attention("pairwise", attention_pairwise_init="zeros")
