"""Heads that are removed: what is left is attention whose output reads nothing of them, whatever the stages."""

import copy
from argparse import Namespace

import pytest
import torch
from choices import each_choice
from torch import nn

from fairseq_plugins.attention import CAUSAL, AttentionConfig
from fairseq_plugins.attention.stages import PROJECTION

HEADS, WIDTH = 3, 12
CHOICES = {
    "plain": {},
    **each_choice(r="2"),
    "roberta_networks": {"attention_projection": "neural", "neural_qkv_shape": "roberta"},
    "all_networks": {"attention_projection": "neural", "neural_qkv_projections": "q,k,v,out"},
    "residual_networks": {
        "attention_projection": "neural",
        "neural_qkv_projections": "q,k,v,out",
        "neural_qkv_residual": True,
    },
    "pairwise_networks": {"attention_compatibility": "pairwise", "attention_projection": "neural"},
}
#: whose queries hold the input, which no pruned head can be taken out of
UNPRUNABLE = [f"projection-{name}" for name, choice in PROJECTION.choices.items() if choice.query_holds_input]
#: the last linear maps of a network, by their names
LAST = {
    "projection-neural": ["3"],
    "roberta_networks": ["2"],
    "all_networks": ["3"],
    "residual_networks": ["linear", "network.3"],
    "pairwise_networks": ["3"],
    "projection-nonlinear-query": ["linear_out"],
}


def attention(name, **options):
    config = AttentionConfig.from_options(Namespace(attention_init="xavier", **{**CHOICES.get(name, {}), **options}))
    made = config.build("encoder", WIDTH, HEADS, self_attention=True).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def own(made, name):
    """The parameters that make a head, with the heads first: by their names, as the documentation says it."""
    linear = [f"{role}_proj" for role in sorted(set(made.makers.values()))]
    linear = [role for role in linear if list(getattr(made, role).parameters())]
    for role in linear:
        network = not isinstance(getattr(made, role), nn.Linear)
        for prefix in [f"{role}.{last}" for last in LAST[name]] if network else [role]:
            yield from (made.get_parameter(f"{prefix}.{kind}") for kind in ("weight", "bias"))
    if "pairwise" in name:
        yield made.compatibility.pairwise_factors


@pytest.mark.parametrize("name", [name for name in CHOICES if name not in UNPRUNABLE])
def test_what_is_left_reads_nothing_of_the_pruned(name):
    made = attention(name)
    zeroed = copy.deepcopy(made)
    kept, depth = [2, 0], WIDTH // HEADS
    out = zeroed.out_proj
    firsts = [part for part in out.modules() if isinstance(part, nn.Linear)]
    firsts = [out.linear, out.network[0]] if name == "residual_networks" else firsts[:1]
    with torch.no_grad():
        for first in firsts:
            first.weight[:, depth : 2 * depth] = 0
    made._adaptive_prune_heads([(head * depth, (head + 1) * depth) for head in kept])
    made._set_skip_embed_dim_check()
    x = torch.randn(5, 2, WIDTH, dtype=torch.float64)
    pad = torch.tensor([[False] * 5, [True, False, False, False, True]])
    for given in ({}, {"key_padding_mask": pad}, {"attn_mask": CAUSAL}):
        out, weights = made(x, x, x, need_head_weights=True, **given)
        expected, of_all = zeroed(x, x, x, need_head_weights=True, **given)
        torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(weights, of_all[kept], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(made(x, x, x, need_weights=False, **given)[0], expected, rtol=1e-10, atol=1e-10)
    state = {}
    steps = [made(x[t : t + 1], None, None, buffer=state, need_weights=False)[0] for t in range(5)]
    torch.testing.assert_close(torch.cat(steps), zeroed(x, x, x, attn_mask=CAUSAL)[0], rtol=1e-10, atol=1e-10)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize("name", sorted({name for name in CHOICES if "kernel" not in name and "mixing" not in name}))
def test_sizes_are_those_of_what_makes_a_head(name):
    made = attention(name)
    expected = torch.zeros(HEADS, dtype=torch.float64)
    for parameter in own(made, name):
        for head, part in enumerate(parameter.detach().chunk(HEADS)):
            expected[head] += part.abs().sum()
    torch.testing.assert_close(made.head_sizes().detach(), expected)
    order = expected.argsort(descending=True).tolist()
    depth = WIDTH // HEADS
    assert made._get_reserve_head_index(2) == [(head * depth, (head + 1) * depth) for head in order[:2]]


def test_frozen_parameters_stay_frozen():
    made = attention("compatibility-pairwise")
    made.q_proj.weight.requires_grad_(False)
    made.keep_heads([1])
    assert [n for n, p in made.named_parameters() if not p.requires_grad] == ["q_proj.weight"]


@pytest.mark.parametrize("name", UNPRUNABLE)
def test_heads_that_read_a_part_of_the_input_are_not_pruned(name):
    made = attention(name)
    with pytest.raises(ValueError, match=r"--mha-heads-to-keep: .* reads its own part of the input"):
        made.keep_heads([1])
    assert made.num_heads == HEADS


def test_heads_with_an_r_of_their_own_are_not_pruned():
    made = attention("sparse", attention_mixing="top-r", attention_r="2,1:2:3")
    with pytest.raises(ValueError, match="--attention-r gives each head its own r"):
        made.keep_heads([1])
    assert made.num_heads == HEADS
