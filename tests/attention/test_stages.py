"""The registries, the options and the initialisations."""

import argparse
from argparse import Namespace

import pytest
import torch
from torch import nn

from fairseq_plugins.attention import AttentionConfig, add_attention_args, build_attention
from fairseq_plugins.attention.config import SITES, parse_sites
from fairseq_plugins.attention.stages import MIXING, PROJECTION, STAGES, Projection


def test_sites():
    everywhere = dict.fromkeys(SITES, "neural")
    assert parse_sites(PROJECTION, "neural") == everywhere
    assert parse_sites(PROJECTION, "encoder=neural, cross=neural") == {**everywhere, "decoder": "linear"}


@pytest.mark.parametrize("text", ["nerual", "encoder=", "", "middle=neural", "neural,encoder=linear", "neural;linear"])
def test_bad_sites_name_the_option(text):
    with pytest.raises(ValueError, match="--attention-projection"):
        parse_sites(PROJECTION, text)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"neural_qkv_shape": "bert"}, "--neural-qkv-shape"),
        ({"neural_qkv_projections": "q,x"}, "--neural-qkv-projections"),
        ({"neural_qkv_norm": "batch"}, "--neural-qkv-norm"),
        ({"neural_qkv_activation": "tan"}, "--neural-qkv-activation"),
        ({"neural_qkv_expansion": 0.0}, "--neural-qkv-expansion"),
        ({"attention_init": "zeros"}, "--attention-init"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        build_attention(AttentionConfig(Namespace(attention_projection="neural", **options)), "encoder", 8, 2)


def test_every_option_has_help_and_parses():
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)  # as fairseq's group of model options
    add_attention_args(parser)
    text = parser.format_help()
    for stage in STAGES:
        assert f"--attention-{stage.name}" in text
    args = parser.parse_args(["--attention-projection", "neural", "--neural-qkv-expansion", "3"])
    module = build_attention(AttentionConfig(args), "encoder", 8, 2)
    assert module.q_proj[0].out_features == 24
    assert parser.parse_args([]) == Namespace(), "an option not given must leave the architecture's default alone"


def test_registering_twice_is_harmless_and_clashes_are_not():
    cls = PROJECTION["linear"]
    PROJECTION.register("linear")(cls)
    assert PROJECTION["linear"] is cls

    class Other(Projection):
        pass

    with pytest.raises(ValueError, match="already"):
        PROJECTION.register("linear")(Other)
    with pytest.raises(TypeError):
        MIXING.register("other")(Other)
    with pytest.raises(ValueError, match="known: linear"):
        PROJECTION["other"]


def linears(module):
    return {name: m for name, m in module.named_modules() if isinstance(m, nn.Linear)}


@pytest.mark.parametrize("shape", ["marian", "roberta"])
@pytest.mark.parametrize("init", ["paper", "normal", "xavier"])
def test_initialisation(shape, init):
    """paper: N(0, 0.02^2) in the networks; xavier: bounded by fairseq's limits."""
    config = AttentionConfig(Namespace(attention_projection="neural", neural_qkv_shape=shape, attention_init=init))
    module = build_attention(config, "encoder", 128, 4)
    for name, linear in linears(module).items():
        in_network = "." in name
        if init == "normal" or (init == "paper" and in_network):
            assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05), name
            assert abs(linear.weight.mean().item()) < 1e-3
            assert (linear.bias == 0).all()
        else:
            gain = 1.0 if name.startswith("out_proj") else 0.5**0.5
            bound = gain * (6 / (linear.in_features + linear.out_features)) ** 0.5
            assert linear.weight.abs().max().item() == pytest.approx(bound, rel=0.02), name
    for norm in (m for m in module.modules() if isinstance(m, nn.LayerNorm)):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()


def test_parameter_counts_of_the_paper():
    """2,368,512 more parameters a module at d = 512 with the marian shape; 63,756,288 over RoBERTa-base's 12 layers."""

    def size(width, heads, **options):
        module = build_attention(AttentionConfig(Namespace(**options)), "encoder", width, heads)
        return sum(p.numel() for p in module.parameters())

    assert size(512, 8, attention_projection="neural") - size(512, 8) == 2_368_512
    roberta = size(768, 12, attention_projection="neural", neural_qkv_shape="roberta") - size(768, 12)
    assert 12 * roberta == 63_756_288


def test_quant_noise_reaches_every_linear():
    config = AttentionConfig(Namespace(attention_projection="neural"))
    module = build_attention(config, "encoder", 16, 2, self_attention=True, q_noise=0.5, qn_block_size=8).train()
    assert all(len(m._forward_pre_hooks) == 1 for m in linears(module).values())
    x = torch.randn(3, 2, 16)
    before = module.q_proj[0].weight.clone()
    module(x, x, x)
    assert (module.q_proj[0].weight == 0).sum() > (before == 0).sum()
