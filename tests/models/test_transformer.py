"""The transformer family: its sizes in parameters, and what every variant must prove of decoding."""

from argparse import Namespace

import pytest
import torch
from builders import TRANSLATION_CASES, batch, build, translation_task
from fairseq import options
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.decode import cache


@pytest.fixture(params=TRANSLATION_CASES)
def case(request):
    return request.param


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_command_line_reaches_the_layers():
    parser = options.get_training_parser()
    args = options.parse_args_and_arch(
        parser,
        [
            *("data", "--arch", "transformer_neuralqkv_tiny", "--encoder-layers", "1"),
            *(
                "--attention-projection",
                "encoder=neural",
                "--neural-qkv-shape",
                "roberta",
                "--neural-qkv-expansion",
                "3",
            ),
        ],
    )
    model = ARCH_MODEL_REGISTRY[args.arch].build_model(args, translation_task())
    encoder, decoder = model.encoder.layers[0], model.decoder.layers[0]
    assert len(model.encoder.layers) == 1
    assert encoder.self_attn.v_proj[0].out_features == 3 * 64
    assert isinstance(encoder.self_attn.out_proj, torch.nn.Linear)
    assert isinstance(decoder.encoder_attn.q_proj, torch.nn.Linear)


# --- parameters -------------------------------------------------------------------------------------------------------


def formula(d, ffn, layers, vocabulary, neural):
    """Parameters of a 'layers + layers' model with three embeddings tables (source, target, output), by hand."""
    linear = d * d + d
    network = (d * 2 * d + 2 * d) + 2 * (2 * d) + (2 * d * d + d)  # Linear, LayerNorm, Linear
    attention = 3 * network + linear if neural else 4 * linear
    feed_forward, norm = d * ffn + ffn + ffn * d + d, 2 * d
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    return layers * (encoder + decoder) + 3 * vocabulary * d


@pytest.mark.parametrize("variant", ["baseline", "neuralqkv"])
def test_parameter_count_equals_the_formula(variant):
    model = build(f"transformer_{variant}", task := translation_task())
    expected = formula(24, 20, 2, len(task.source_dictionary), neural=variant == "neuralqkv")
    assert parameters(model) == expected


def test_paper_sized_counts():
    """42,633,216 more parameters than the baseline at 6 + 6 layers of 512 (papers.md), met by 'matched' to 0.01 %."""
    counts = {}
    for variant in ("baseline", "neuralqkv", "matched"):
        arch = f"transformer_{variant}"
        args = Namespace(arch=arch)
        ARCH_CONFIG_REGISTRY[arch](args)
        with torch.device("meta"):
            counts[variant] = parameters(ARCH_MODEL_REGISTRY[arch].build_model(args, translation_task()))
    assert counts["neuralqkv"] - counts["baseline"] == 42_633_216
    assert abs(counts["matched"] / counts["neuralqkv"] - 1) < 1e-4


# --- what every variant must prove ------------------------------------------------------------------------------------


def decode(model, encoder_out, prev, state):
    logits, _ = model.decoder(prev, encoder_out=encoder_out, incremental_state=state)
    return logits


@pytest.mark.parametrize(
    ("case", "quick", "normalize_before"),
    # every case in both ways, and each of both with the norm before and behind, which is nothing to a cache
    [(case, quick, bool((i + quick) % 2)) for i, case in enumerate(TRANSLATION_CASES) for quick in (False, True)],
)
def test_incremental_decoding_equals_training_forward(case, quick, normalize_before, monkeypatch):
    """Step by step, beams reordered after every step, a sentence leaving on the way: equal to teacher forcing.

    ``quick``: as beam search does it, keys kept once a sentence and caches written and reordered in place.
    """
    monkeypatch.setattr(cache, "FIRST_ROOM", 2)
    norm = {"encoder_normalize_before": normalize_before, "decoder_normalize_before": normalize_before}
    model = build(case, **norm).double().eval()
    beam = 3
    src, lengths, _ = batch()
    rows = torch.arange(len(src)).repeat_interleave(beam)
    prev = torch.randint(4, 37, (len(rows), 1))
    state = {}
    with torch.set_grad_enabled(not quick):
        sentences = model.encoder(src, lengths)
        encoder_out = model.encoder.reorder_encoder_out(sentences, rows)
        for step in range(5):  # past two enlargements of a cache
            full = decode(model, model.encoder(src[rows], lengths[rows]), prev, None)[:, -1]
            given = encoder_out if quick else dict(encoder_out)
            torch.testing.assert_close(decode(model, given, prev, state)[:, -1], full, rtol=0, atol=1e-10)
            order = torch.arange(len(rows)).view(-1, beam)
            if step == 2:
                order = order[[0, 2]]
            order = torch.stack([group[torch.randint(beam, (beam,))] for group in order]).view(-1)
            model.decoder.reorder_incremental_state_scripting(state, order)
            encoder_out = model.encoder.reorder_encoder_out(encoder_out, order)
            rows, prev = rows[order], torch.cat([prev[order], torch.randint(4, 37, (len(order), 1))], dim=1)
    attention = model.decoder.layers[0].encoder_attn
    assert attention.cached_shape(state)[0] == (2 if quick else len(rows))
    assert encoder_out.selected is None, "nobody asked for what was reordered"


def test_the_future_changes_nothing(case):
    model = build(case).double().eval()
    src, lengths, prev = batch()
    out, _ = model(src, lengths, prev)
    future = prev.clone()
    future[0, 4:] = 5
    changed, _ = model(src, lengths, future)
    torch.testing.assert_close(changed[0, :4], out[0, :4], rtol=0, atol=1e-12)
    assert (changed[0, 4:] - out[0, 4:]).abs().max() > 1e-6


def test_left_padded_targets_stay_masked(case):
    """A task that pads targets on the left gets no right-padding shortcut."""
    model = build(case, translation_task(left_pad_target=True))
    assert not any(m.right_padded for m in model.modules() if isinstance(m, StagedMultiheadAttention))
    model = build(case, translation_task(left_pad_target=False))
    assert all(layer.self_attn.right_padded for layer in model.decoder.layers)


def test_training_collects_no_attention_weights(case):
    assert build(case).train()(*batch())[1]["attn"] == [None]


def test_attention_weights_are_there_when_asked_for(case):
    model = build(case)
    src, lengths, prev = batch()
    for training in (False, True):
        model.train(training)
        _, extra = model(src, lengths, prev, alignment_layer=1)
        attn = extra["attn"][0]
        assert attn.shape == (3, 6, 7)
        torch.testing.assert_close(attn.sum(-1), torch.ones(3, 6))
    model.eval()
    assert model(src, lengths, prev)[1]["attn"][0].shape == (3, 6, 7)
