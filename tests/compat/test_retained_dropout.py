"""``--retain-dropout-modules``: the modules that it names, of stock models and of ours."""

import logging

import pytest
from builders import build
from fairseq.modules.fairseq_dropout import FairseqDropout

ALL = {"encoder", "encoder.layer", "encoder.attention", "decoder", "decoder.layer", "decoder.attention"}
ATTENTION = {"encoder.attention", "decoder.attention"}
DOCUMENTED = '["TransformerModel","TransformerEncoder","TransformerDecoder","TransformerEncoderLayer"]'


def place(name):
    """``decoder.layers.0.self_attn.dropout_module`` -> ``decoder.attention``."""
    side = name.split(".")[0]
    inner = ".attention" if "attn" in name else ".layer" if "layers" in name else ""
    return side + inner


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, ALL),
        ("TransformerDecoderLayer", {"decoder.layer"}),
        ("TransformerDecoderLayerBase", {"decoder.layer"}),
        (["TransformerEncoderLayerBase", "TransformerEncoderBase"], {"encoder", "encoder.layer"}),
        (("MultiheadAttention",), ATTENTION),
        ({"TransformerEncoder", "MultiheadAttention"}, ATTENTION | {"encoder"}),
        (DOCUMENTED, {"encoder", "decoder", "encoder.layer"}),
        ("TransformerModel TransformerDecoder,MultiheadAttention", ATTENTION | {"decoder"}),
        ("Unknown", set()),
        ("", set()),
        ([], set()),
        ([None, "MultiheadAttention"], ATTENTION),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
@pytest.mark.parametrize("arch", ["transformer_tiny", "transformer_baseline_tiny"])
def test_the_named_modules_keep_it(arch, given, kept):
    model = build(arch)
    model.make_generation_fast_(retain_dropout=True, retain_dropout_modules=given)
    dropouts = {name: module for name, module in model.named_modules() if isinstance(module, FairseqDropout)}
    assert {place(name) for name in dropouts} == ALL
    assert all(module.apply_during_inference == (place(name) in kept) for name, module in dropouts.items())


def test_without_the_option_no_module_keeps_it(caplog):
    dropout = FairseqDropout(0.5, module_name="A")
    dropout.make_generation_fast_("name", beamable_mm_beam_size=5)
    dropout.make_generation_fast_("name", False, ["A"])
    assert not dropout.apply_during_inference
    with caplog.at_level(logging.WARNING):
        nameless = FairseqDropout(0.5)
        nameless.make_generation_fast_("its.path", retain_dropout=True, retain_dropout_modules=["A"])
    assert "its.path" in caplog.text
    assert not nameless.apply_during_inference
