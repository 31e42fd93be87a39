"""The options of attention on the command line, and what fairseq asks of the module that they make."""

import argparse
from argparse import Namespace

import torch
from fairseq.optim.adam import Adam
from torch import nn

from fairseq_plugins.attention import STAGES, AttentionConfig
from fairseq_plugins.models.attention import build_attention
from fairseq_plugins.models.options import add_model_args


def test_every_option_has_help_and_parses():
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)  # as fairseq's group of model options
    add_model_args(parser)
    text = parser.format_help()
    for stage in STAGES:
        assert f"--attention-{stage.name}" in text
    args = parser.parse_args(["--attention-projection", "neural", "--neural-qkv-expansion", "3"])
    module = AttentionConfig.from_options(args).build("encoder", 8, 2)
    assert module.q_proj[0].out_features == 24
    assert parser.parse_args([]) == Namespace(), "an option not given must leave the architecture's default alone"


def test_quant_noise_reaches_every_linear():
    config = AttentionConfig(projection="neural")
    module = build_attention(config, "encoder", 16, 2, self_attention=True, q_noise=0.5, qn_block_size=8).train()
    linears = [m for m in module.modules() if isinstance(m, nn.Linear)]
    assert all(len(m._forward_pre_hooks) == 1 for m in linears)
    x = torch.randn(3, 2, 16)
    before = module.q_proj[0].weight.clone()
    module(x, x, x)
    assert (module.q_proj[0].weight == 0).sum() > (before == 0).sum()


def test_the_factors_are_under_weight_decay():
    """As in the paper's code: fairseq's Adam decays S like any other weight."""
    module = build_attention(AttentionConfig(compatibility="pairwise"), "encoder", 12, 2)
    before = module.compatibility.pairwise_factors.detach().clone()
    optimizer = Adam(module.parameters(), lr=0.1, weight_decay=0.5)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(module.compatibility.pairwise_factors.detach(), before * (1 - 0.1 * 0.5))
