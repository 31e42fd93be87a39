"""Models in evaluation with dropout kept: the numbers of training, and those of stock fairseq."""

from argparse import Namespace

import pytest
import torch
from builders import CASES, batch, build, family_of, run
from fairseq.sequence_generator import SequenceGenerator

from fairseq_plugins.models.grid import stock_name

#: besides the variants, what evaluates by a road of its own
SHORTCUTS = ["transformer_kernel-elu1", "transformer_mixing-top-r", "transformer_lm_elu1"]
BASELINES = [name for name in CASES if "_baseline_" in name]
DROPOUT = {"dropout": 0.4, "attention_dropout": 0.5, "activation_dropout": 0.3}


def settings(modules=None, beam=1):
    return Namespace(
        generation=Namespace(retain_dropout=True, retain_dropout_modules=modules, beam=beam, print_alignment=None)
    )


def decoded(model):
    """The logits of the last of three steps of incremental decoding."""
    src, lengths, prev = batch()
    encoded = model.encoder(src, lengths) if hasattr(model, "encoder") else None
    state = {}
    for step in range(1, 4):
        out = model.decoder(prev[:, :step], encoder_out=encoded, incremental_state=state)[0]
    return out


@torch.no_grad()
@pytest.mark.parametrize("name", [*BASELINES, *SHORTCUTS])
@pytest.mark.parametrize("speed", [{}, {"fast_dropout": True}, {"fast_inference": True}])
def test_evaluation_that_keeps_dropout_is_training(name, speed):
    model = build(name, **DROPOUT, **speed)
    roads = [lambda: run(model)[0]] + ([] if family_of(name) == "roberta" else [lambda: decoded(model)])
    expected = []
    for road in roads:
        torch.manual_seed(3)
        expected.append(road())
    model.prepare_for_inference_(settings())
    assert not model.training
    for road, of_training in zip(roads, expected):
        torch.manual_seed(3)
        torch.testing.assert_close(road(), of_training, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
@pytest.mark.parametrize(
    "modules", [None, ["MultiheadAttention"], ["TransformerDecoderLayer"], ["TransformerEncoder", "TransformerDecoder"]]
)
def test_the_baseline_generates_what_stock_does(family, modules):
    """With one seed the same hypotheses and scores, whichever modules keep their dropout."""
    archs = stock_name(family, "tiny"), f"{family}_baseline_tiny"
    stock, ours = (build(arch, decoder_normalize_before=True, **DROPOUT) for arch in archs)
    ours.load_state_dict(stock.state_dict())
    src, lengths, prev = batch()
    net_input = {"src_tokens": src, "src_lengths": lengths, "prev_output_tokens": prev}
    found = []
    for model in (stock, ours):
        model.prepare_for_inference_(settings(modules))
        words = model.decoder.dictionary
        generator = SequenceGenerator([model], words, beam_size=1, max_len_b=12)
        prefix = None if family == "transformer" else prev[:, :2]
        torch.manual_seed(5)
        found.append(generator.generate([model], {"net_input": net_input}, prefix_tokens=prefix))
    for theirs, own in zip(*found):
        assert torch.equal(theirs[0]["tokens"], own[0]["tokens"])
        torch.testing.assert_close(theirs[0]["score"], own[0]["score"], rtol=0, atol=1e-5)
