"""Queries that are the input, or a network beside it: identity-query and nonlinear-query."""

from argparse import Namespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairseq_plugins.attention import AttentionConfig

HEADS, WIDTH, MEMORY = 2, 12, 7


def attention(projection, site="encoder", width=WIDTH, init="paper", build=None, **options):
    config = AttentionConfig.from_options(Namespace(attention_projection=projection, attention_init=init, **options))
    return config.build(site, width, HEADS, **(build or {})).double()


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def scores(module, x, y):
    found, _ = module(x, y, y, before_softmax=True)
    return found.view(x.size(1), HEADS, len(x), len(y))


def test_identity_query_in_cross_attention():
    """q is the decoder's side as it is, whatever the memory's width; one map makes k, another v."""
    module = attention("identity-query", "cross", build={"kdim": MEMORY, "vdim": MEMORY})
    x, y = torch.randn(5, 3, WIDTH, dtype=torch.float64), torch.randn(4, 3, MEMORY, dtype=torch.float64)
    q, k = x.view(5, 3, HEADS, -1), module.k_proj(y).view(4, 3, HEADS, -1)
    expected = torch.einsum("tbhd,sbhd->bhts", q, k) / (WIDTH // HEADS) ** 0.5
    torch.testing.assert_close(scores(module, x, y), expected, rtol=0, atol=1e-12)
    assert {name.partition(".")[0] for name in module.state_dict()} == {"k_proj", "v_proj", "out_proj"}


@pytest.mark.parametrize("compatibility", ["symmetric", "pairwise"])
def test_keys_cannot_be_made_by_the_query_that_is_no_projection(compatibility):
    with pytest.raises(ValueError, match="has none here; choose the compatibility dot, or another projection"):
        attention("identity-query", attention_compatibility=compatibility)


@pytest.mark.parametrize("compatibility", ["symmetric", "pairwise"])
def test_keys_may_be_made_by_the_network(compatibility):
    """Keys are then (y + f(y)) / 2."""
    module = attention("nonlinear-query", attention_compatibility=compatibility)
    x, y = (torch.randn(steps, 3, WIDTH, dtype=torch.float64) for steps in (5, 4))
    q, k = (module.q_proj(z).view(len(z), 3, HEADS, -1) for z in (x, y))
    if compatibility == "pairwise":
        q = torch.einsum("tbhd,hde->tbhe", q, module.compatibility.pairwise_factors)
    expected = torch.einsum("tbhd,sbhd->bhts", q, k) / (WIDTH // HEADS) ** 0.5
    torch.testing.assert_close(scores(module, x, y), expected, rtol=0, atol=1e-12)


def root_mean_square_norm(x, gain):
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain


@pytest.mark.parametrize("output", ["rmsnorm", "layernorm", "none"])
@pytest.mark.parametrize("given", ["rmsnorm", "layernorm", "none"])
@pytest.mark.parametrize("no_bias", [False, True])
def test_the_network_by_its_formula(given, output, no_bias):
    network = attention(
        "nonlinear-query",
        nonlinear_query_expansion=0.75,
        nonlinear_query_input_norm=given,
        nonlinear_query_output_norm=output,
        nonlinear_query_activation="swish",
        nonlinear_query_no_bias=no_bias,
    ).q_proj
    for parameter in network.parameters():
        nn.init.normal_(parameter)

    def norm(kind, layer, z):
        if kind == "layernorm":
            centred = root_mean_square_norm(z - z.mean(-1, keepdim=True), layer.weight)
            return centred if no_bias else centred + layer.bias
        return root_mean_square_norm(z, layer.weight) if kind == "rmsnorm" else z

    x = torch.randn(5, WIDTH, dtype=torch.float64)
    hidden = norm(given, network.norm_in, x) @ network.linear_in.weight.t()
    hidden = F.silu(hidden if no_bias else hidden + network.linear_in.bias)
    assert hidden.size(-1) == 9
    found = hidden @ network.linear_out.weight.t()
    found = norm(output, network.norm_out, found if no_bias else found + network.linear_out.bias)
    torch.testing.assert_close(network(x), (x + found) / 2, rtol=1e-12, atol=1e-12)
    assert any("bias" in name for name, _ in network.named_parameters()) == (not no_bias)


@pytest.mark.parametrize("width", [WIDTH, 64])
def test_parameter_counts(width):
    """identity-query: a linear map less; nonlinear-query: d^2 in its matrices, as the linear map, and vectors."""
    linear = size(attention("linear", width=width))
    assert linear - size(attention("identity-query", width=width)) == width**2 + width
    norms = width + 2 * width
    biases = width // 2 + width
    nonlinear = size(attention("nonlinear-query", width=width)) - linear
    assert nonlinear == norms + biases - width
    without = size(attention("nonlinear-query", width=width, nonlinear_query_no_bias=True)) - linear
    assert without == norms - width - width  # nor has the LayerNorm any, and the linear map had one


@pytest.mark.parametrize("init", ["linear", "paper", "normal", "xavier"])
def test_initialisation(init):
    module = attention("nonlinear-query", width=128, init=init)
    network = module.q_proj
    for linear in (network.linear_in, network.linear_out):
        if init == "xavier":
            assert linear.weight.abs().max().item() == pytest.approx((3 / (128 + 64)) ** 0.5, rel=0.02)
        else:
            assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert (linear.bias == 0).all()
    assert (network.norm_in.weight == 1).all()
    assert (network.norm_out.weight == 1).all()
    assert (network.norm_out.bias == 0).all()
    assert module.k_proj.weight.std().item() == pytest.approx(0.02 if init == "normal" else 1 / 256**0.5, rel=0.05)


@pytest.mark.parametrize("projection", ["identity-query", "nonlinear-query"])
def test_queries_have_the_type_of_keys_under_autocast(projection):
    """What is no product is left in float32 there, and some kernels take one type alone."""
    module, x = attention(projection).float(), torch.randn(3, 2, WIDTH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module.q_proj(x).dtype == module.k_proj(x).dtype == torch.bfloat16
        assert module.double().q_proj(x.double()).dtype == torch.float64
    assert module.float().q_proj(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"nonlinear_query_expansion": 0.0}, "--nonlinear-query-expansion 0.0: must be positive"),
        ({"nonlinear_query_input_norm": "batch"}, "--nonlinear-query-input-norm batch: choose from rmsnorm"),
        ({"nonlinear_query_output_norm": "batch"}, "--nonlinear-query-output-norm batch: choose from rmsnorm"),
        ({"nonlinear_query_activation": "tan"}, "--nonlinear-query-activation tan: choose from relu"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        attention("nonlinear-query", **options)
