"""--fast-inference: packed weights and hypotheses without attention, beside the plain way."""

from argparse import Namespace

import pytest
import torch
from builders import batch, build, translation_task
from torch import nn

from fairseq_plugins.models.fast_inference import PackedLinear, pack_linear_maps

PACKS = torch.backends.mkldnn.is_available()


def settings(print_alignment=None):
    return Namespace(generation=Namespace(print_alignment=print_alignment, beam=3))


def search(model, **options):
    task = translation_task()
    src, lengths, _ = batch()
    sample = {"id": torch.arange(len(src)), "net_input": {"src_tokens": src, "src_lengths": lengths}}
    generator = task.build_generator([model], Namespace(beam=3, max_len_b=12, **options))
    return generator.generate([model], sample)


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
