"""The transformer family: the grid, its sizes in parameters, and what every variant must prove."""

import copy
import subprocess
import sys
from argparse import Namespace

import pytest
import torch
from builders import SMALL, TRANSLATION_VARIANTS, batch, build, translation_task
from fairseq import options
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.models.grid import SIZES, VARIANTS, architecture_name, register_family, stock_name
from fairseq_plugins.models.transformer import StagedTransformerModel

GRID = [(variant, size) for variant in VARIANTS for size in SIZES["transformer"]]


@pytest.fixture(params=TRANSLATION_VARIANTS)
def arch(request):
    return request.param


def parameters(model):
    return sum(p.numel() for p in model.parameters())


# --- the grid ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "size"), GRID)
def test_every_name_has_its_meaning(variant, size):
    """The size's own shape comes from stock fairseq; the variant's defaults from the table."""
    ours, stock = Namespace(), Namespace()
    ARCH_CONFIG_REGISTRY[architecture_name("transformer", variant, size)](ours)
    ARCH_CONFIG_REGISTRY[stock_name("transformer", size)](stock)
    extra = {name: value for name, value in vars(ours).items() if name not in vars(stock)}
    assert extra == VARIANTS[variant]
    assert {name: getattr(ours, name) for name in vars(stock)} == vars(stock)


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


def test_registering_again_is_harmless():
    before = dict(ARCH_MODEL_REGISTRY)
    register_family("transformer", StagedTransformerModel)
    assert before == ARCH_MODEL_REGISTRY


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
    wide = dict.fromkeys(SMALL)
    counts = {}
    for variant in ("baseline", "neuralqkv", "matched"):
        arch = f"transformer_{variant}"
        args = Namespace(arch=arch, **{name: value for name, value in wide.items() if value})
        ARCH_CONFIG_REGISTRY[arch](args)
        counts[variant] = parameters(ARCH_MODEL_REGISTRY[arch].build_model(args, translation_task()))
    assert counts["neuralqkv"] - counts["baseline"] == 42_633_216
    assert abs(counts["matched"] / counts["neuralqkv"] - 1) < 1e-4


@pytest.mark.parametrize(
    "overrides",
    [{}, {"encoder_layers": 1, "decoder_layers": 3}, {"decoder_embed_dim": 16}, {"neural_qkv_expansion": 3.0}],
)
def test_matched_meets_neuralqkv_layer_by_layer(overrides):
    matched, neural = build("transformer_matched", **overrides), build("transformer_neuralqkv", **overrides)
    for side in ("encoder", "decoder"):
        ours, theirs = getattr(matched, side).layers[0], getattr(neural, side).layers[0]
        unit = 2 * ours.embed_dim + 1
        assert abs(parameters(ours) - parameters(theirs)) <= unit / 2
        assert isinstance(ours.self_attn.q_proj, torch.nn.Linear)


def test_matching_does_not_disturb_the_random_stream():
    """Counting the other variant's parameters draws nothing: the model is the baseline of the same widths and seed."""
    torch.manual_seed(3)
    matched = build("transformer_matched")
    after_matched = torch.rand(1)
    widths = {
        f"{side}_ffn_embed_dim": getattr(matched, side).layers[0].fc1.out_features for side in ("encoder", "decoder")
    }
    torch.manual_seed(3)
    baseline = build("transformer_baseline", **widths)
    assert torch.equal(after_matched, torch.rand(1))
    for (name, ours), theirs in zip(matched.named_parameters(), baseline.parameters()):
        assert torch.equal(ours, theirs), name


# --- what every variant must prove ------------------------------------------------------------------------------------


def decode(model, encoder_out, prev, state):
    logits, _ = model.decoder(prev, encoder_out=encoder_out, incremental_state=state)
    return logits


@pytest.mark.parametrize("share_keys", [False, True])
@pytest.mark.parametrize("normalize_before", [False, True])
def test_incremental_decoding_equals_training_forward(arch, share_keys, normalize_before):
    """Step by step, beams reordered after every step, a sentence leaving on the way: equal to teacher forcing."""
    norm = {"encoder_normalize_before": normalize_before, "decoder_normalize_before": normalize_before}
    model = build(arch, **norm).double().eval()
    beam = 3
    src, lengths, _ = batch()
    encoder_out = model.encoder(src, lengths)
    rows = torch.arange(len(src)).repeat_interleave(beam)
    encoder_out = model.encoder.reorder_encoder_out(encoder_out, rows)
    if share_keys:
        for module in model.modules():
            if hasattr(module, "set_beam_size"):
                module.set_beam_size(beam)
    prev = torch.randint(4, 37, (len(rows), 1))
    state = {}
    for step in range(5):
        full = decode(model, model.encoder(src[rows], lengths[rows]), prev, None)[:, -1]
        torch.testing.assert_close(decode(model, encoder_out, prev, state)[:, -1], full, rtol=0, atol=1e-10)
        order = torch.arange(len(rows)).view(-1, beam)
        if step == 2:
            order = order[[0, 2]]
        order = torch.stack([group[torch.randint(beam, (beam,))] for group in order]).view(-1)
        model.decoder.reorder_incremental_state_scripting(state, order)
        encoder_out = model.encoder.reorder_encoder_out(encoder_out, order)
        rows, prev = rows[order], torch.cat([prev[order], torch.randint(4, 37, (len(order), 1))], dim=1)


@pytest.mark.parametrize("left_pad_source", [False, True])
def test_padding_and_future_change_nothing(arch, left_pad_source):
    model = build(arch).double().eval()
    src, lengths, prev = batch(left_pad_source=left_pad_source)
    out, _ = model(src, lengths, prev)
    alone = [
        model(
            src[i : i + 1][src[i : i + 1] != 1][None], lengths[i : i + 1], prev[i : i + 1][prev[i : i + 1] != 1][None]
        )[0]
        for i in range(len(src))
    ]
    for row, expected in enumerate(alone):
        torch.testing.assert_close(out[row, : expected.size(1)], expected[0], rtol=0, atol=1e-10)
    future = prev.clone()
    future[0, 4:] = 5
    changed, _ = model(src, lengths, future)
    torch.testing.assert_close(changed[0, :4], out[0, :4], rtol=0, atol=1e-12)
    assert (changed[0, 4:] - out[0, 4:]).abs().max() > 1e-6


def test_left_padded_targets_stay_masked(arch):
    """A task that pads targets on the left gets no right-padding shortcut."""
    model = build(arch, translation_task(left_pad_target=True))
    assert not any(m.right_padded for m in model.modules() if isinstance(m, StagedMultiheadAttention))
    model = build(arch, translation_task(left_pad_target=False))
    assert all(layer.self_attn.right_padded for layer in model.decoder.layers)


def count_calls(model):
    calls = []
    for module in model.modules():
        if isinstance(module, StagedMultiheadAttention):
            module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_custom_attention_is_called_in_every_layer_after_loading(arch):
    """fairseq's fused encoder path would skip it in a model that never trained."""
    trained = build(arch)
    model = build(arch)
    model.load_state_dict(copy.deepcopy(trained.state_dict()))
    calls = count_calls(model.eval())
    with torch.no_grad():
        model(*batch())
    assert len(calls) == 2 + 2 * 2


def test_reloaded_in_a_fresh_process(arch, tmp_path, root):
    """Saved, loaded in another process, same output."""
    model = build(arch).eval()
    src, lengths, prev = batch()
    torch.save({"state": model.state_dict(), "batch": (src, lengths, prev)}, tmp_path / "model.pt")
    program = f"""
import sys, torch
sys.path[:0] = [{str(root)!r}, {str(root / "tests")!r}]
import fairseq_plugins
from builders import build
saved = torch.load({str(tmp_path / "model.pt")!r})
model = build({arch!r})
model.load_state_dict(saved["state"])
with torch.no_grad():
    torch.save(model.eval()(*saved["batch"])[0], {str(tmp_path / "out.pt")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    with torch.no_grad():
        assert torch.equal(model(src, lengths, prev)[0], torch.load(tmp_path / "out.pt"))


def test_every_parameter_gets_a_gradient(arch):
    model = build(arch).train()
    out, extra = model(*batch())
    assert extra["attn"] == [None], "training collects no attention weights"
    out.float().log_softmax(-1).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


def test_attention_weights_are_there_when_asked_for(arch):
    model = build(arch)
    src, lengths, prev = batch()
    for training in (False, True):
        model.train(training)
        _, extra = model(src, lengths, prev, alignment_layer=1)
        attn = extra["attn"][0]
        assert attn.shape == (3, 6, 7)
        torch.testing.assert_close(attn.sum(-1), torch.ones(3, 6))
    model.eval()
    assert model(src, lengths, prev)[1]["attn"][0].shape == (3, 6, 7)


def test_activation_checkpointing_changes_no_gradient(arch):
    gradients = []
    for checkpoint in (False, True):
        torch.manual_seed(5)
        model = build(arch, checkpoint_activations=checkpoint).train()
        model(*batch())[0].square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients):
        torch.testing.assert_close(plain, checkpointed)


# --- against stock fairseq --------------------------------------------------------------------------------------------


def test_baseline_is_stock_fairseq():
    """The same seed gives the same parameters; the same parameters the same output, loss and gradients."""
    models = []
    for arch in ("transformer", "transformer_baseline"):
        torch.manual_seed(11)
        models.append(build(arch).double())
    stock, ours = models
    assert list(stock.state_dict()) == list(ours.state_dict())
    for (name, value), mine in zip(stock.named_parameters(), ours.parameters()):
        assert torch.equal(value, mine), name
    src, lengths, prev = batch()
    for training in (True, False):
        outputs = [model.train(training)(src, lengths, prev)[0] for model in models]
        real = prev != 1
        # stock cross-attention takes its softmax in float32
        torch.testing.assert_close(outputs[1][real], outputs[0][real], rtol=0, atol=1e-6)
        losses = [out[real].log_softmax(-1)[:, 5].sum() for out in outputs]
        for model, loss in zip(models, losses):
            model.zero_grad()
            loss.backward()
        for (name, p), q in zip(stock.named_parameters(), ours.parameters()):
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
