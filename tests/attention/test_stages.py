"""The registries, the options and the initialisations."""

from argparse import Namespace

import pytest
import torch
from torch import nn

from fairseq_plugins.attention import AttentionConfig
from fairseq_plugins.attention.config import SITES, parse_sites
from fairseq_plugins.attention.project import neural
from fairseq_plugins.attention.stages import MIXING, PROJECTION, Projection


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
        AttentionConfig.from_options(Namespace(attention_projection="neural", **options)).build("encoder", 8, 2)


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
    config = AttentionConfig.from_options(
        Namespace(attention_projection="neural", neural_qkv_shape=shape, attention_init=init)
    )
    module = config.build("encoder", 128, 4)
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


def linear_start(**options):
    """Attention whose networks begin as linear maps, in float64; with the linear attention of the same seed."""
    made = []
    for projection in ("neural", "linear"):
        torch.manual_seed(7)
        config = AttentionConfig(projection=projection, init="linear", **(options if projection == "neural" else {}))
        made.append(config.build("encoder", 24, 2).double())
    return made


def test_a_norm_sets_the_projections_to_one_size():
    """With W1 = [W; -W] the hidden layer's mean is 0 and its variance that of z = W x + b: gain * z / RMS(z)."""
    networks, linear = linear_start()
    x = torch.randn(50, 24, dtype=torch.float64)
    for role, share in (("q", 1), ("k", 1), ("out", 0.3)):
        map_of, network = getattr(linear, f"{role}_proj"), getattr(networks, f"{role}_proj")
        z = map_of(x)
        gain = share * map_of.weight.norm() / 24**0.5
        expected = gain * z / (z.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(network(x), expected, rtol=1e-6, atol=1e-6)  # the gain is of float32
        assert network(x).norm().item() == pytest.approx(share * z.norm().item(), rel=0.05)


@pytest.mark.parametrize(
    "options", [{"neural_qkv_norm": norm, "neural_qkv_expansion": 3.0} for norm in ("none", "layernorm")]
)
def test_units_without_effect_can_learn(options):
    network = linear_start(**options)[0].q_proj
    assert (network[-1].weight[:, 48:] == 0).all()
    network(torch.randn(50, 24, dtype=torch.float64)).square().sum().backward()
    assert (network[-1].weight.grad[:, 48:].abs().sum(0) > 0).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"neural_qkv_expansion": 1.5}, "its hidden layer has 36 units, fewer than twice its width 24"),
        ({"neural_qkv_activation": "tanh"}, "its activation tanh is no phi with phi"),
    ],
)
def test_networks_that_cannot_begin_as_linear_maps_say_so_once(options, reason, caplog):
    neural.say.cache_clear()
    module = linear_start(**options)[0]
    (record,) = caplog.records
    assert reason in record.message
    hidden = module.q_proj[0].out_features
    bound = 0.5**0.5 * (6 / (24 + hidden)) ** 0.5
    assert module.q_proj[0].weight.abs().max().item() == pytest.approx(bound, rel=0.02)


def test_parameter_counts_of_the_paper():
    """2,368,512 more parameters a module at d = 512 with the marian shape; 63,756,288 over RoBERTa-base's 12 layers."""

    def size(width, heads, **options):
        module = AttentionConfig.from_options(Namespace(**options)).build("encoder", width, heads)
        return sum(p.numel() for p in module.parameters())

    assert size(512, 8, attention_projection="neural") - size(512, 8) == 2_368_512
    roberta = size(768, 12, attention_projection="neural", neural_qkv_shape="roberta") - size(768, 12)
    assert 12 * roberta == 63_756_288
