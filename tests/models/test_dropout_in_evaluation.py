"""Dropout that is kept in evaluation (``--retain-dropout``): no shortcut of evaluation may lose it."""

from argparse import Namespace

import pytest
import torch
from choices import SPARSE
from fairseq.modules.fairseq_dropout import FairseqDropout

from fairseq_plugins.attention import CAUSAL, AttentionConfig
from fairseq_plugins.models.fast_dropout import FastDropout

HEADS, WIDTH, STEPS, SAMPLES, P = 2, 4, 6, 4000, 0.6
CHOICES = {
    "exp": {},
    "elu1": {"attention_kernel": "elu1"},
    "relu_pairwise": {"attention_kernel": "relu", "attention_compatibility": "pairwise"},
    "poly": {"attention_kernel": "poly"},
    **{name: {"attention_mixing": name, "attention_r": "3"} for name in SPARSE},
    "value_aware_exact": {"attention_mixing": "value-aware-r", "attention_r": "5"},
}


def module(name, site, dropout=FairseqDropout):
    """Attention in evaluation whose output is what its heads mixed; its weights' dropout is kept."""
    cross = {"kdim": HEADS * WIDTH, "encoder_decoder_attention": True}
    config = AttentionConfig.from_options(Namespace(attention_init="xavier", **CHOICES[name]))
    made = config.build(
        site, HEADS * WIDTH, HEADS, dropout=P, **(cross if site == "cross" else {"self_attention": True})
    )
    made.out_proj = torch.nn.Identity()
    made.dropout_module = dropout(P, module_name="MultiheadAttention")
    return made.eval()


def keep_dropout(made, keep=True):
    made.dropout_module.apply_during_inference = keep


def decoded(made, x):
    """What the last of the steps x (T, B, C) of incremental decoding gives: (B, C)."""
    state = {}
    for t in range(x.size(0)):
        out, _ = made(x[t : t + 1], None, None, buffer=state, need_weights=False)
    return out[0]


def whole(made, x):
    return made(x, x, x, attn_mask=CAUSAL, need_weights=False)[0][-1]


def beams(made, x):
    """The last of x as the query of two hypotheses of each sentence, which share their keys x: (2 B, C)."""
    made.set_beam_size(2)
    query = x[-1:].repeat_interleave(2, dim=1)
    state = {}
    for _ in range(2):  # the second step reads the cache
        out, _ = made(query, x, x, buffer=state, static_kv=True, need_weights=False)
    return out[0]


ROADS = {"decoded": ("decoder", decoded), "whole": ("encoder", whole), "beams": ("cross", beams)}


@torch.no_grad()
@pytest.mark.parametrize("dropout", [FairseqDropout, FastDropout])
@pytest.mark.parametrize("road", sorted(ROADS))
@pytest.mark.parametrize("name", sorted(CHOICES))
def test_mean_and_variance_are_those_of_dropped_weights(name, road, dropout):
    """``sum_i w_i d_i v_i`` with d_i = 0 or 1 / (1 - p) has the mean of no dropout, and a known variance."""
    site, take = ROADS[road]
    made = module(name, site, dropout)
    x = torch.randn(STEPS, 1, HEADS * WIDTH)
    mask = None if site == "cross" else CAUSAL
    _, weights = made(x, x, x, attn_mask=mask, need_head_weights=True)
    weights, v = weights[:, 0, -1], made.v_proj(x)[:, 0].view(STEPS, HEADS, WIDTH)  # (H, S), (S, H, D)
    mean = torch.einsum("hs,shd->hd", weights, v).flatten()
    variance = torch.einsum("hs,shd->hd", weights.square(), v.square()).flatten() * P / (1 - P)

    many = x.expand(-1, SAMPLES, -1)
    torch.testing.assert_close(take(made, many)[0], mean)
    keep_dropout(made)
    drawn = take(made, many)
    deviation = variance.clamp(min=1e-9).sqrt()
    assert ((drawn.mean(dim=0) - mean).abs() < 5 * deviation / drawn.size(0) ** 0.5 + 1e-6).all()
    torch.testing.assert_close(drawn.var(dim=0), variance, rtol=0.15, atol=1e-6)
    if road == "beams":  # hypotheses of a sentence share keys, and not what is dropped
        first, second = ((part - mean) / deviation for part in (drawn[::2], drawn[1::2]))
        assert ((first * second).mean(dim=0).abs() < 5 / SAMPLES**0.5).all()


@torch.no_grad()
def test_a_state_without_keys_cannot_begin_to_drop():
    made, state = module("elu1", "decoder"), {}
    x = torch.randn(1, 2, HEADS * WIDTH)
    made(x, None, None, buffer=state, need_weights=False)
    for mode in (made.train, lambda: keep_dropout(made.eval())):
        mode()
        with pytest.raises(ValueError, match="dropout from the first step on"):
            made(x, None, None, buffer=state, need_weights=False)


@torch.no_grad()
def test_a_model_in_training_decodes_with_dropout():
    made = module("elu1", "decoder")
    x = torch.randn(STEPS, 1, HEADS * WIDTH).expand(-1, 50, -1)
    assert decoded(made, x).std(dim=0).max() < 1e-5
    assert decoded(made.train(), x).std(dim=0).min() > 1e-2
