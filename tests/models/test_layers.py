"""Our layers beside fairseq's own with the same attention and weights: sums in place change no bit."""

from copy import deepcopy

import pytest
import torch
from builders import build
from fairseq.modules import transformer_layer
from torch import nn

from fairseq_plugins.models import fast_dropout
from fairseq_plugins.models.layers import TransformerEncoderLayer

NORMS = {"encoder_normalize_before": True, "decoder_normalize_before": True}
SCALES = {"scale_attn": True, "scale_fc": True, "scale_resids": True, "scale_heads": True}
DROPS = {"dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.1}
CASES = {
    "no dropout": {},
    "dropout": DROPS,
    "normalised before": {**DROPS, **NORMS},
    "gelu": {**DROPS, "activation_fn": "gelu"},
    "scales": {**DROPS, **SCALES},
    "scales without dropout": SCALES,
    "quantisation noise": {**DROPS, "quant_noise_pq": 0.2, "quant_noise_pq_block_size": 2},
    "checkpointed": {**DROPS, "checkpoint_activations": True},
    "fast dropout": {**DROPS, "fast_dropout": True},
}
SHAPE = (7, 5, 24)  # time, batch, width


def stock_like(layer):
    """fairseq's layer with copies of all that a layer of ours holds."""
    kind = "Encoder" if isinstance(layer, TransformerEncoderLayer) else "Decoder"
    stock = object.__new__(getattr(transformer_layer, f"Transformer{kind}LayerBase"))
    stock.__dict__.update({name: value for name, value in vars(deepcopy(layer)).items() if name != "forward"})
    return stock


def train(layers, forward):
    """Output, and the gradients of inputs and parameters, of each layer with the same seed."""
    results = []
    for layer in layers:
        torch.manual_seed(11)
        inputs = [torch.randn(SHAPE, requires_grad=True) for _ in range(2)]
        layer.zero_grad()
        out = forward(layer, *inputs)
        (out.float() * torch.randn(SHAPE)).sum().backward()
        given = {f"input {number}": x for number, x in enumerate(inputs)}
        gradients = {name: x.grad for name, x in {**given, **dict(layer.named_parameters())}.items()}
        results.append((out.detach(), gradients))
    return results


def assert_equal(results):
    (out, gradients), (expected, other) = results
    assert torch.equal(out, expected)
    assert gradients.keys() == other.keys()
    for name, gradient in gradients.items():
        assert (gradient is None) == (other[name] is None), name
        assert gradient is None or torch.equal(gradient, other[name]), name


def encode(layer, x, _):
    return layer(x * 1, torch.arange(7)[None] >= torch.tensor([7, 7, 6, 4, 3])[:, None])


def decode(layer, x, encoder_out):
    mask = torch.full((7, 7), float("-inf")).triu(1)
    return layer(x * 1, encoder_out, None, self_attn_mask=mask)[0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_fairseqs_bit_by_bit(case, side, training, monkeypatch):
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    model = build("transformer_pairwise_tiny", decoder_embed_dim=24, decoder_ffn_embed_dim=20, **CASES[case])
    ours = getattr(model, side).layers[0]
    layers = [layer.train(training) for layer in (ours, stock_like(ours))]
    assert_equal(train(layers, encode if side == "encoder" else decode))


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_equal_to_fairseqs_under_autocast(side):
    """There dropout returns bfloat16, and the sum with the residual is float32."""
    ours = getattr(build("transformer_baseline_tiny", decoder_embed_dim=24, **DROPS), side).layers[0].train()

    def forward(layer, *inputs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (encode if side == "encoder" else decode)(layer, *inputs)

    assert_equal(train([ours, stock_like(ours)], forward))


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("training", [True, False])
def test_the_feed_forward_result_is_returned_unchanged(p, training):
    cfg = build("transformer_baseline_tiny", dropout=p).encoder.cfg
    layer = TransformerEncoderLayer(cfg, return_fc=True).train(training)
    seen = []
    layer.fc2.register_forward_hook(lambda _module, _inputs, out: seen.append(out.clone()))
    assert torch.equal(layer(torch.randn(SHAPE), None)[1], seen[0])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_what_a_module_returned_stays_as_it_was(p, training):
    """For whoever observes a layer's modules by hooks."""
    layer = build("transformer_baseline_tiny", dropout=p, decoder_embed_dim=24).decoder.layers[0].train(training)
    seen = []

    def keep(_module, _inputs, out):
        out = out[0] if isinstance(out, tuple) else out
        seen.append((out, out.clone()))

    for module in layer.modules():
        if isinstance(module, (nn.Linear, nn.LayerNorm)) or module is layer.self_attn:
            module.register_forward_hook(keep)
    inputs = torch.randn(SHAPE), torch.randn(SHAPE)
    copies = [x.clone() for x in inputs]
    layer(*inputs)
    assert len(seen) == 14
    assert all(torch.equal(*pair) for pair in seen)
    assert all(torch.equal(*pair) for pair in zip(inputs, copies))


def test_the_sum_is_in_place_where_dropout_made_the_tensor():
    layer = build("transformer_baseline_tiny", dropout=0.3).encoder.layers[0]
    x, residual = torch.randn(SHAPE), torch.randn(SHAPE)
    assert layer.train().residual_connection(x, residual) is x
    assert layer.eval().residual_connection(x, residual) is not x


def test_compiled():
    torch._dynamo.reset()
    layer = build("transformer_baseline_tiny", dropout=0.3).encoder.layers[0].train()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    results = train([layer, compiled], lambda layer, x, _: layer(x, None))
    torch.testing.assert_close(results[1][0], results[0][0])
    torch.testing.assert_close(results[1][1]["input 0"], results[0][1]["input 0"])
