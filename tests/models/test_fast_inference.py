"""--fast-inference: packed weights and hypotheses without attention, beside the plain way."""

from argparse import Namespace

import pytest
import torch
from builders import batch, build, translation_task
from torch import nn

from fairseq_plugins.models import fast_inference
from fairseq_plugins.models.fast_inference import CLASSES, PackedLinear, pack_linear_maps
from fairseq_plugins.runtime import processor

PACKS = torch.backends.mkldnn.is_available()


def settings(print_alignment=None):
    return Namespace(generation=Namespace(print_alignment=print_alignment, beam=3))


def search(model, **options):
    task = translation_task()
    src, lengths, _ = batch()
    sample = {"id": torch.arange(len(src)), "net_input": {"src_tokens": src, "src_lengths": lengths}}
    generator = task.build_generator([model], Namespace(beam=3, max_len_b=12, **options))
    return generator.generate([model], sample)


def needs(weights):
    """What the processor lacks, oneDNN refuses, or adds up with overflows."""
    if processor.lacks(weights):
        pytest.skip(processor.lacks(weights))


@pytest.mark.skipif(not PACKS, reason="torch without oneDNN's packed products")
@pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 3, 7), (65, 7)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_map_is_the_map(shape, bias):
    linear = nn.Linear(7, 13, bias=bias)
    x = torch.randn(shape).requires_grad_()
    expected = linear(x).detach()
    state = {name: value.clone() for name, value in linear.state_dict().items()}
    with torch.no_grad():
        pack_linear_maps(linear)
        assert isinstance(linear, PackedLinear)
        torch.testing.assert_close(linear(x), expected, rtol=1e-5, atol=1e-6)
        if len(shape) == 3:  # as decoders hand on what they transposed
            torch.testing.assert_close(linear(x.transpose(0, 1)), expected.transpose(0, 1), rtol=1e-5, atol=1e-6)
    linear(x).sum().backward()
    torch.testing.assert_close(x.grad, linear.weight.sum(dim=0).expand(shape))
    assert linear.state_dict().keys() == state.keys()


@pytest.mark.skipif(not PACKS, reason="torch without oneDNN's packed products")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("weights", "precision"), [("bfloat16", 2**-8), ("int8", 1 / 127)])
def test_fewer_bits_are_as_near_as_they_can_be(weights, precision, bias, monkeypatch):
    """Each row by itself: others of its batch, however large, change nothing; rows of 0 and small maps are exact."""
    needs(weights)
    monkeypatch.setattr(fast_inference, "WORTH", 2)
    linear = nn.Linear(31, 17, bias=bias)
    x = torch.randn(2, 9, 31) * torch.logspace(-3, 3, 9)[:, None]
    x[0, 4] = 0
    with torch.no_grad():
        expected, sizes = linear(x), x.abs().amax(-1, keepdim=True) * linear.weight.abs().amax(1)
        pack_linear_maps(linear, weights)
        assert type(linear) is CLASSES[weights]
        found = linear(x)
        # half a step of each factor, at 31 products of random signs; bfloat16 rounds the sum as well
        bound = 31**0.5 * 2 * precision * sizes + 2 * precision * expected.abs() * (weights == "bfloat16")
        assert ((found - expected).abs() <= bound).all()
        assert not torch.equal(found, expected)
        torch.testing.assert_close(linear(x[1, 3:5]), found[1, 3:5], rtol=1e-5, atol=1e-5)
        if not bias:
            assert torch.equal(found[0, 4], torch.zeros(17))
        again = linear(x)
        x.mul_(2)  # what was rounded before is not what is there now
        assert not torch.equal(linear(x), again)
        small = nn.Linear(1, 1)
        pack_linear_maps(small, weights)
        assert type(small) is PackedLinear


@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize(("weights", "ask"), [("bfloat16", "multiplies_bfloat16"), ("int8", "multiplies_int8")])
def test_a_processor_is_asked_before(weights, ask, has, monkeypatch, caplog):
    monkeypatch.setattr(processor, ask, lambda: has)
    assert fast_inference.weights_to_use(weights, "cpu") == (weights if has else "float32")
    said = f"--inference-weights {weights}: this CPU has no instructions for"
    assert (said in caplog.text) != has
    assert fast_inference.weights_to_use(weights, "cuda") == "float32"
    assert f"--inference-weights {weights}: it is for CPUs; they stay float32" in caplog.text


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
@pytest.mark.parametrize("variant", ["baseline", "neuralqkv", "valueaware"])
def test_models_decode_with_fewer_bits(variant, weights, monkeypatch):
    """Every map of every variant, the search and all else in float32; scores move by what rounding allows."""
    needs(weights)
    monkeypatch.setattr(fast_inference, "WORTH", 2)
    model = build(f"transformer_{variant}_tiny", fast_inference=True).eval()
    fewer = build(f"transformer_{variant}_tiny", fast_inference=True, inference_weights=weights).eval()
    fewer.load_state_dict(model.state_dict())
    for each in (model, fewer):
        each.prepare_for_inference_(settings())
    maps = [module for module in fewer.modules() if isinstance(module, nn.Linear)]
    assert {type(module) for module in maps} == ({CLASSES[weights]} if PACKS else {nn.Linear})
    source, lengths, previous = batch()
    with torch.no_grad():
        one, other = (each(source, lengths, previous)[0][previous != 1] for each in (model, fewer))
    assert other.dtype == torch.float32
    if PACKS:
        assert 0 < (other - one).norm() / one.norm() < 0.15
    assert all(len(ranked) == 3 for ranked in search(fewer))


def test_only_what_can_be_packed_is():
    model = nn.ModuleList([nn.Linear(3, 3).double(), nn.Linear(3, 3).to(torch.bfloat16), nn.Embedding(3, 3)])
    pack_linear_maps(model)
    assert [type(module) for module in model] == [nn.Linear, nn.Linear, nn.Embedding]


@pytest.mark.parametrize("variant", ["baseline", "neuralqkv", "pairwise"])
def test_hypotheses_are_the_same_and_hold_no_attention(variant):
    plain = build(f"transformer_{variant}_tiny").eval()
    fast = build(f"transformer_{variant}_tiny", fast_inference=True).eval()
    fast.load_state_dict(plain.state_dict())
    for model in (plain, fast):
        model.prepare_for_inference_(settings())
    assert any(isinstance(module, PackedLinear) for module in fast.modules()) == PACKS
    assert not any(isinstance(module, PackedLinear) for module in plain.modules())
    for expected, found in zip(search(plain), search(fast)):
        for slow, quick in zip(expected, found):
            assert quick["tokens"].equal(slow["tokens"])
            torch.testing.assert_close(quick["positional_scores"], slow["positional_scores"], rtol=1e-4, atol=1e-5)
            assert slow["attention"].numel() > 0
            assert quick["attention"].numel() == 0


def test_alignments_have_their_attention():
    model = build("transformer_baseline_tiny", fast_inference=True).eval()
    model.prepare_for_inference_(settings(print_alignment="hard"))
    assert all(hypothesis["attention"].numel() for sentence in search(model) for hypothesis in sentence)


def test_a_language_model_is_packed_too():
    model = build("transformer_lm_baseline_tiny", fast_inference=True).eval()
    prev = batch()[2]
    with torch.no_grad():
        expected = model(prev)[0]
        model.prepare_for_inference_(settings())
        torch.testing.assert_close(model(prev)[0], expected, rtol=1e-4, atol=1e-5)
    assert any(isinstance(module, PackedLinear) for module in model.modules()) == PACKS
