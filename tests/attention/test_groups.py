"""Fewer heads of keys and values than of queries: the same as keys and values repeated for every head."""

from argparse import Namespace

import pytest
import torch
import torch.nn.functional as F
from choices import KERNELS, SPARSE
from torch import nn

from fairseq_plugins.attention import CAUSAL, AttentionConfig
from fairseq_plugins.attention.groups import for_every_head
from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.naive import naive_attention
from fairseq_plugins.attention.normalise.elu1 import linear_attention
from fairseq_plugins.attention.stages import KERNEL
from fairseq_plugins.models import fast_dropout

HEADS, WIDTH = 6, 18
GROUPS = [1, 2, 3]


def attention(groups, build=None, **options):
    config = AttentionConfig.from_options(Namespace(attention_kv_heads=groups, **options))
    return config.build("decoder", WIDTH, HEADS, **(build or {})).double()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def repeated(module, **options):
    """Plain attention with the same parameters, each head with rows of its own."""
    made = attention(None, **options)
    state = {}
    for role in ("q", "k", "v", "out"):
        owner = module.out_proj if role == "out" else module.map_of(role)
        for kind in ("weight", "bias"):
            parameter = getattr(owner, kind).detach()
            if role in "kv":
                rows = [(h * module.kv_heads // HEADS) * 3 + d for h in range(HEADS) for d in range(3)]
                parameter = parameter[rows]
            state[f"{role}_proj.{kind}"] = parameter
    made.load_state_dict(state)
    return made


OPTIONS = {
    **{kernel: {"attention_kernel": kernel} for kernel in KERNELS},
    **{mixing: {"attention_mixing": mixing, "attention_r": "2:3:1:2:9:3"} for mixing in SPARSE},
}


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_equal_to_repeated_heads(options, groups, need_weights):
    """Outputs, weights and gradients of the input: padded left and right, causal, a mask of each head, cross."""
    module = attention(groups, **options)
    plain = repeated(module, **options)
    pad = torch.tensor([[False] * 7, [True, True] + [False] * 5, [False] * 4 + [True] * 3])
    of_heads = torch.rand(3 * HEADS, 7, 7) < 0.3
    calls = [
        {"key_padding_mask": pad},
        {"attn_mask": CAUSAL},
        {"attn_mask": of_heads},
        {"attn_mask": CAUSAL, "key_padding_mask": pad},
    ]
    for keys, call in [(7, call) for call in calls] + [(5, {"key_padding_mask": pad[:, 1:6]})]:
        x, memory, results = random(7, 3, WIDTH), random(keys, 3, WIDTH), []
        for attend in (module, plain):
            given = [z.clone().requires_grad_() for z in (x, memory)]
            seen = given[1] if keys == 5 else given[0]
            out, weights = attend(
                given[0], seen, seen, need_weights=need_weights, need_head_weights=need_weights, **call
            )
            out.square().sum().backward()
            results.append((out, given[0].grad, weights if need_weights else out))
        torch.testing.assert_close(*results, rtol=0, atol=1e-10)


@pytest.mark.parametrize("projection", ["linear", "neural", "nonlinear-query", "identity-query", "shared-key-value"])
@pytest.mark.parametrize("groups", GROUPS)
def test_equal_to_the_naive_form(groups, projection):
    module = attention(groups, attention_projection=projection)
    x, pad = random(5, 2, WIDTH), torch.tensor([[False] * 5, [True] + [False] * 4])
    q, k, v = (module._split_heads(module.map_of(role)(x)) for role in "qkv")
    assert k.shape == v.shape == (2, groups, 5, 3)
    allowed = AttentionMask(True, pad).allowed(5, "cpu")
    expected = naive_attention(q, k, v, module.kernel, allowed).permute(2, 0, 1, 3).reshape(5, 2, WIDTH)
    found, _ = module(x, x, x, pad, attn_mask=CAUSAL, need_weights=False)
    torch.testing.assert_close(found, module.out_proj(expected), rtol=0, atol=1e-10)


def test_masked_scores_and_values_are_of_every_head():
    module = attention(2)
    x, pad = random(5, 2, WIDTH), torch.tensor([[False] * 5, [True] + [False] * 4])
    for found, expected in zip(
        module(x, x, x, pad, before_softmax=True), repeated(module)(x, x, x, pad, before_softmax=True)
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("groups", GROUPS)
def test_linear_form(groups, causal):
    """Long sequences of the kernel that needs no weights; chunks that are not full."""
    q, k, v = random(2, HEADS, 9, 3), random(2, groups, 9, 3), random(2, groups, 9, 3)
    pad = torch.zeros(2, 9, dtype=torch.bool)
    pad[0, :2] = True
    found = linear_attention(q, k, v, causal, pad, chunk=4)
    expected = naive_attention(q, k, v, KERNEL["elu1"](None), AttentionMask(causal, pad).allowed(9, "cpu"))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("groups", GROUPS)
def test_dropout_without_weights(groups, monkeypatch):
    """The blockwise form: the same masks drop the same weights as with repeated heads, with the same gradients."""
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    q = random(2, HEADS, 7, 3)
    sides = random(2, 2, groups, 7, 3)
    results = []
    for repeat in (False, True):
        given = [z.clone().requires_grad_() for z in (q, *sides)]
        k, v = (for_every_head(z, HEADS) if repeat else z for z in given[1:])
        torch.manual_seed(3)
        keep = fast_dropout.FastDropout(0.4).train().masks(q, q.numel() // 3 * 7)
        out = KERNEL["exp"](None).fused_with_dropout(given[0], k, v, AttentionMask(causal=True), keep)
        out.square().sum().backward()
        results.append([out, *(z.grad for z in given)])
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("projection", ["linear", "shared-key-value"])
@pytest.mark.parametrize("kernel", ["exp", "elu1"])
def test_the_cache_holds_the_groups_alone(kernel, projection, groups):
    module = attention(groups, {"self_attention": True}, attention_kernel=kernel, attention_projection=projection)
    x, past = random(4, 2, WIDTH), {}
    with torch.no_grad():
        for t in range(4):
            module(x[t : t + 1], None, None, buffer=past, need_weights=False)
    kept = {name: tuple(tensor.shape) for name, tensor in past.items() if tensor is not None and "room" not in name}
    if kernel == "elu1":
        assert kept == {"key_sums": (2, groups, 4, 4)}
    else:
        names = ["prev_key"] if projection == "shared-key-value" else ["prev_key", "prev_value"]
        assert kept == dict.fromkeys(names, (2, groups, 4, 3))


def test_torchs_attention_gets_the_groups(monkeypatch):
    """No copy for every head is made on the way there."""
    seen, fused = [], F.scaled_dot_product_attention

    def spy(q, k, v, **given):
        seen.append((k.size(1), v.size(1), given.get("enable_gqa", False)))
        return fused(q, k, v, **given)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    x = random(5, 2, WIDTH)
    for groups in (2, HEADS):
        for mask in (None, CAUSAL):
            attention(groups)(x, x, x, attn_mask=mask, need_weights=False)
    assert seen == [(2, 2, True)] * 2 + [(HEADS, HEADS, False)] * 2


@pytest.mark.parametrize("padded", [False, True])
def test_masks_on_a_gpu_are_for_heads_without_groups(padded, monkeypatch):
    """Where torch has no fused kernel for groups with a mask, heads are repeated; without one they are not."""
    seen = []
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, k, v, **given: seen.append((k.size(1), given)) or q
    )
    q, k = (torch.empty(2, heads, 5, 3, device="meta") for heads in (HEADS, 2))  # a device that is no CPU
    padding = torch.zeros(2, 5, dtype=torch.bool, device="meta") if padded else None
    KERNEL["exp"](None).fused(q, k, k, AttentionMask(key_padding=padding), 0.0)
    ((heads, given),) = seen
    assert (heads, given.get("enable_gqa", False)) == ((HEADS, False) if padded else (2, True))


def test_parameter_counts():
    def size(module):
        return sum(parameter.numel() for parameter in module.parameters())

    for groups in GROUPS:
        fewer = (WIDTH + 1) * (HEADS - groups) * 3
        assert size(attention(None)) - size(attention(groups)) == 2 * fewer
        shared = {"attention_projection": "shared-key-value"}
        assert size(attention(None, **shared)) - size(attention(groups, **shared)) == fewer


def test_a_number_for_each_site():
    config = AttentionConfig(kv_heads="decoder=2, cross=1")
    assert [config.build(site, WIDTH, HEADS).kv_heads for site in ("encoder", "decoder", "cross")] == [HEADS, 2, 1]
    assert AttentionConfig(kv_heads=3).build("encoder", WIDTH, HEADS).kv_heads == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kv_heads": 4}, "--attention-kv-heads 4: must divide the 6 attention heads"),
        ({"kv_heads": 12}, "--attention-kv-heads 12: must divide the 6 attention heads"),
        ({"kv_heads": 0}, "--attention-kv-heads 0: give a number from 1 on, or SITE=N"),
        ({"kv_heads": "two"}, "--attention-kv-heads two: give a number from 1 on"),
        ({"kv_heads": "middle=2"}, "--attention-kv-heads middle=2: unknown site 'middle'"),
        ({"kv_heads": "2,cross=1"}, "--attention-kv-heads 2,cross=1: site cross is given twice"),
        ({"kv_heads": 2, "projection": "shared"}, "the query projection makes keys here, with its 6 heads"),
        ({"kv_heads": 2, "compatibility": "symmetric"}, "the query projection makes keys here, with its 6 heads"),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_named(options, said):
    with pytest.raises(ValueError, match=said):
        AttentionConfig(**options).build("encoder", WIDTH, HEADS)


def test_heads_that_share_keys_are_not_pruned_and_count_them_all():
    module = attention(2)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    own, shared = (
        sum(
            getattr(part, kind).detach().reshape(heads, -1).abs().sum(1)
            for part in parts
            for kind in ("weight", "bias")
        )
        for heads, parts in ((HEADS, [module.q_proj]), (2, [module.k_proj, module.v_proj]))
    )
    torch.testing.assert_close(module.head_sizes().detach(), own + shared[[0, 0, 0, 1, 1, 1]])
    with pytest.raises(ValueError, match=r"--mha-heads-to-keep: .*by --attention-kv-heads they share keys and values"):
        module.keep_heads([0])
