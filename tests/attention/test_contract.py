"""fairseq's attention contract: masks, weights, caches, beams, precision, SDPA and compilation, for every choice."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_attention import CHOICES, FUSED, HEADS, WIDTH, attention

from fairseq_plugins.attention import CAUSAL
from fairseq_plugins.attention.decode.reordering import Reordering
from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.naive import naive_attention


@pytest.fixture(params=sorted(CHOICES))
def options(request):
    return CHOICES[request.param]


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 4),
    time=st.integers(1, 9),
    causal=st.booleans(),
    masks=st.data(),
    name=st.sampled_from(sorted(CHOICES)),
)
def test_random_masks_equal_the_naive_form(batch, time, causal, masks, name):
    """Any padding and any mask, dead rows included: weights are a distribution over the allowed keys; fused = plain."""
    module = attention(CHOICES[name], self_attention=True).double()
    bits = st.lists(st.booleans(), min_size=batch * time, max_size=batch * time)
    pad = torch.tensor(masks.draw(bits)).view(batch, time)
    x = random(time, batch, WIDTH)
    mask = CAUSAL if causal else None
    out, weights = module(x, x, x, pad, attn_mask=mask, need_head_weights=True)
    fused, _ = module(x, x, x, pad, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(out, fused, rtol=0, atol=1e-10)

    allowed = AttentionMask(causal, pad).allowed(time, x.device).expand(batch, 1, time, time)
    q, k, v = (module._split_heads(module.map_of(role)(x)) for role in "qkv")
    if module.mixing.uses_all_keys:
        expected = naive_attention(*module.compatibility.fold(q, k), v, module.kernel, allowed)
    else:  # what sparse weights are is proven in the test of each sparse mixing
        expected = weights.transpose(0, 1) @ v
    if "attention_r" in CHOICES[name]:
        most = [int(r) for r in CHOICES[name]["attention_r"].split(":")]
        kept = (weights > 0).sum(-1)
        assert all((kept[head] <= most[head % len(most)]).all() for head in range(HEADS))
    expected = module.out_proj(expected.permute(2, 0, 1, 3).reshape(time, batch, WIDTH))
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)

    weights = weights.transpose(0, 1)
    assert (weights[(~allowed).expand_as(weights)] == 0).all()
    alive = allowed.any(-1).expand(batch, HEADS, time)
    torch.testing.assert_close(weights.sum(-1), alive.to(weights.dtype), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "dtype", "need_weights"),
    # every choice in every precision, and each of both with and without weights
    [
        (name, dtype, bool((i + j) % 2))
        for i, name in enumerate(sorted(CHOICES))
        for j, dtype in enumerate([torch.float32, torch.float16, torch.bfloat16])
    ],
)
def test_all_pad_rows_give_no_nan(name, dtype, need_weights):
    module = attention(CHOICES[name], self_attention=True).to(dtype)
    x = random(5, 3, WIDTH).to(dtype).requires_grad_()
    pad = torch.zeros(3, 5, dtype=torch.bool)
    pad[1] = True
    out, weights = module(x, x, x, pad, need_weights=need_weights)
    out.float().square().sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert weights is None or (weights[1] == 0).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_and_future_keys_change_nothing(options, side):
    module = attention(options, self_attention=True).double()
    x = random(7, 2, WIDTH)
    pad = torch.zeros(2, 7, dtype=torch.bool)
    pad[0, :2] = side == "left"
    pad[0, -2:] = side == "right"
    changed = torch.where(pad.t()[..., None], random(7, 2, WIDTH), x)
    keep = ~pad.t()
    for mask in (None, CAUSAL):
        before, _ = module(x, x, x, pad, attn_mask=mask, need_weights=False)
        after, _ = module(changed, changed, changed, pad, attn_mask=mask, need_weights=False)
        torch.testing.assert_close(before[keep], after[keep], rtol=0, atol=1e-12)
    future = x.clone()
    future[4:] = random(3, 2, WIDTH)
    before, _ = module(x, x, x, attn_mask=CAUSAL, need_weights=False)
    after, _ = module(future, future, future, attn_mask=CAUSAL, need_weights=False)
    torch.testing.assert_close(before[:4], after[:4], rtol=0, atol=1e-12)
    assert (before[4:] - after[4:]).abs().min() > 0


def test_right_padded_promise_changes_no_text_position(options):
    module = attention(options, self_attention=True).double()
    x = random(6, 2, WIDTH)
    pad = torch.zeros(2, 6, dtype=torch.bool)
    pad[0, 4:] = True
    masked, _ = module(x, x, x, pad, attn_mask=CAUSAL)
    module.right_padded = True
    promised, _ = module(x, x, x, pad, attn_mask=CAUSAL)
    torch.testing.assert_close(masked[~pad.t()], promised[~pad.t()], rtol=0, atol=1e-12)


@pytest.mark.parametrize("padded", [False, True])
def test_incremental_self_attention_with_reordered_beams(options, padded):
    """Step by step, the rows reordered after every step, equals the full causal forward of the reordered rows."""
    module = attention(options, self_attention=True).double()
    steps, batch = 6, 4
    x = random(steps, batch, WIDTH)
    pad = torch.zeros(batch, steps, dtype=torch.bool)
    pad[0, 0] = pad[2, :2] = padded  # padding that enters while decoding
    history, history_pad = x[:0], pad[:, :0]
    state = {}
    for t in range(steps):
        history = torch.cat([history, x[t : t + 1]])
        history_pad = torch.cat([history_pad, pad[:, t : t + 1]], dim=1)
        step_pad = pad[:, t : t + 1] if pad[:, t].any() else None
        out, _ = module(x[t : t + 1], x[t : t + 1], x[t : t + 1], step_pad, state, need_weights=False)
        full, _ = module(history, history, history, history_pad, attn_mask=CAUSAL, need_weights=False)
        torch.testing.assert_close(out[0], full[-1], rtol=0, atol=1e-12)
        order = torch.randperm(batch)
        module.reorder(state, Reordering(order))
        history, history_pad, x, pad = history[:, order], history_pad[order], x[:, order], pad[order]


def test_several_tokens_a_step(options):
    """A prompt, some more tokens and one equal the whole sentence, whose padding is on the left."""
    module = attention(options, self_attention=True).double()
    x, pad, state = random(8, 3, WIDTH), torch.zeros(3, 8, dtype=torch.bool), {}
    pad[1, :2] = True
    whole, _ = module(x, x, x, pad, attn_mask=CAUSAL, need_weights=False)
    for part in (slice(0, 4), slice(4, 7), slice(7, 8)):
        new = x[part]
        out, _ = module(new, new, new, pad[:, part], state, need_weights=False, attn_mask=CAUSAL)
        torch.testing.assert_close(out, whole[part], rtol=0, atol=1e-12)


@pytest.mark.parametrize("beam", [1, 3])
def test_incremental_cross_attention_shares_keys_across_beams(options, beam):
    """Cached once a sentence; follows a reordering within sentences, and a batch that shrinks."""
    module = attention(options, encoder_decoder_attention=True).double()
    module.set_beam_size(beam)
    sentences, keys = 4, 5
    memory = random(keys, sentences, WIDTH).repeat_interleave(beam, dim=1)
    pad = torch.zeros(sentences, keys, dtype=torch.bool)
    pad[1, :2] = pad[3, 4:] = True
    pad = pad.repeat_interleave(beam, dim=0)
    state, calls = {}, []
    module.map_of("v").register_forward_hook(lambda _, inputs, __: calls.extend([1] * (len(inputs[0]) == keys)))
    rows = torch.arange(sentences * beam)
    for step in range(4):
        query = random(1, len(rows), WIDTH)
        out, weights = module(query, memory[:, rows], memory[:, rows], pad[rows], state, static_kv=True)
        assert len(calls) == 1 + 2 * step, "the keys are projected once"
        expected, expected_weights = attend_plainly(module, query, memory[:, rows], pad[rows])
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-12)
        calls.append(1)
        order = torch.arange(len(rows)).view(-1, beam)
        if step == 1:
            order = order[[0, 2, 3]]  # a finished sentence leaves
        order = torch.stack([group[torch.randperm(beam)] for group in order]).view(-1)
        module.reorder(state, Reordering(order))
        rows = rows[order]
    buffer = state
    assert buffer["prev_key"].size(0) == len(rows) // beam


def attend_plainly(module, query, memory, pad):
    beam, module.beam_size = module.beam_size, 1
    result = module(query, memory, memory, pad)
    module.beam_size = beam
    return result


def test_half_precision_is_close_to_single(options):
    module = attention(options, self_attention=True)
    x = random(7, 3, WIDTH).float()
    expected, _ = module(x, x, x, attn_mask=CAUSAL, need_weights=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        auto, weights = module(x, x, x, attn_mask=CAUSAL, need_weights=True)
    torch.testing.assert_close(auto.float(), expected, rtol=0.05, atol=0.05)
    assert weights.dtype == torch.float32
    half, _ = module.bfloat16()(*[x.bfloat16()] * 3, attn_mask=CAUSAL, need_weights=False)
    torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("kind", "causal", "masked"),
    [
        ("self", True, False),
        ("self", False, False),
        ("padded", False, True),
        ("right_padded", True, False),
        ("cross", False, True),
    ],
)
@pytest.mark.parametrize("name", FUSED)
def test_sdpa_is_reached(name, monkeypatch, kind, causal, masked):
    """Fused attention gets ``is_causal`` instead of a triangle, and a mask only where there is padding."""
    calls = []
    fused = F.scaled_dot_product_attention

    def spy(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, **groups):
        calls.append((is_causal, attn_mask is not None))
        return fused(q, k, v, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, **groups)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    cross = kind == "cross"
    module = attention(
        CHOICES[name], self_attention=not cross, encoder_decoder_attention=cross, right_padded=kind == "right_padded"
    )
    x, memory = random(4, 2, WIDTH).float(), random(5, 2, WIDTH).float()
    keys = memory if cross else x
    pad = torch.zeros(2, len(keys), dtype=torch.bool)
    pad[0, -1] = True
    given = pad if kind in ("padded", "right_padded", "cross") else None
    module(x, keys, keys, given, attn_mask=CAUSAL if causal else None, need_weights=False, static_kv=cross)
    assert calls == [(causal, masked)]


def covering(names):
    """As few combinations as have every option's value of these names among them; the defaults are one."""
    made = [{}]
    for name in sorted(names, key=lambda name: -len(CHOICES[name])):
        options = CHOICES[name]
        if any(options.items() <= before.items() for before in made):
            continue
        for before in made[1:]:
            if not options.keys() & before.keys() and goes_together({**before, **options}):
                before.update(options)
                break
        else:
            made.append(dict(options))
    return made


def goes_together(options):
    try:
        return bool(attention(options, self_attention=True))
    except ValueError:
        return False


@pytest.mark.parametrize(
    "options", covering(name for name in CHOICES if not attention(CHOICES[name]).mixing.searches), ids=str
)
def test_compiles_without_graph_breaks(options):
    """``fullgraph=True`` raises at a graph break, whatever the backend; one call goes through autograd's as well."""
    torch._dynamo.reset()
    module = attention(options, self_attention=True).eval()
    x, pad = random(6, 2, WIDTH).float(), torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    for backend, call in (
        ("eager", {"attn_mask": CAUSAL}),
        ("eager", {"key_padding_mask": pad}),
        ("aot_eager", {"key_padding_mask": pad, "need_weights": True}),
    ):
        call = {"need_weights": False, **call}
        expected, _ = module(x, x, x, **call)
        compiled = torch.compile(module, backend=backend, fullgraph=True)
        torch.testing.assert_close(compiled(x, x, x, **call)[0], expected)


def test_dropout_acts_in_training_only(options):
    module = attention(options, self_attention=True, dropout=0.5).train()
    x = random(6, 2, WIDTH).float()
    outs = [module(x, x, x, need_weights=False)[0] for _ in range(2)]
    assert not torch.equal(*outs)
    module.eval()
    assert torch.equal(module(x, x, x, need_weights=False)[0], module(x, x, x, need_weights=False)[0])


def test_wrong_masks_are_refused(options):
    module = attention(options, self_attention=True)
    x = random(4, 2, WIDTH).float()
    with pytest.raises(ValueError, match="key_padding_mask"):
        module(x, x, x, torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="attn_mask"):
        module(x, x, x, attn_mask=torch.zeros(3, 4))
    with pytest.raises(ValueError, match="no keys"):
        attention(options)(x, None, None)
