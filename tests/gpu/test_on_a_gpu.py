"""What every architecture computes on a GPU, beside float64 on the CPU.

``FAIRSEQ_PLUGINS_TEST_DEVICE=cpu`` takes the CPU instead, which proves the test.
"""

import copy
import os

import pytest
import torch
from builders import CASES, batch, build, family_of

from fairseq_plugins.models.fixed_step import FixedStep, fits_fixed_step

DEVICE = os.environ.get("FAIRSEQ_PLUGINS_TEST_DEVICE", "cuda")
if DEVICE == "cuda" and not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)
pytestmark = pytest.mark.gpu
#: error of outputs and gradients, relative to their norm
BOUNDS = {torch.float32: 1e-4, torch.float16: 3e-2, torch.bfloat16: 1e-1}


def outputs(model, device):
    """Logits of text, and the norm-wise comparable gradients of a loss over them."""
    source, lengths, previous = (tensor.to(device) for tensor in batch())
    family = family_of(model.case)
    given = {"transformer": (source, lengths, previous), "roberta": (source,), "transformer_lm": (previous,)}[family]
    text = given[-1] != 1
    logits = model(*given)[0][text]
    logits.float().log_softmax(-1)[:, 5:9].mean().backward()
    gradients = torch.cat([p.grad.double().flatten().cpu() for p in model.parameters() if p.grad is not None])
    return logits.detach().double().cpu(), gradients


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_float64(case, dtype):
    exact = build(case, attention_dropout=0.0).double().eval()
    exact.case = case
    model = copy.deepcopy(exact).to(DEVICE, dtype)
    expected, found = outputs(exact, "cpu"), outputs(model, DEVICE)
    for one, other in zip(expected, found):
        assert (one - other).norm() <= BOUNDS[dtype] * one.norm()


@pytest.mark.parametrize("case", [case for case in CASES if family_of(case) == "transformer"])
def test_decoding_step_by_step_is_the_whole_sentence(case):
    model = build(case).to(DEVICE).eval()
    source, lengths, previous = (tensor.to(DEVICE) for tensor in batch(targets=(6, 6, 6)))
    with torch.no_grad():
        encoded, state = model.encoder(source, lengths), {}
        whole = model.decoder(previous, encoder_out=encoded)[0]
        order = torch.tensor([2, 0, 1], device=DEVICE)
        for step in range(1, 7):
            found = model.decoder(previous[:, :step], encoder_out=encoded, incremental_state=state)[0][:, -1]
            torch.testing.assert_close(found, whole[:, step - 1], rtol=1e-3, atol=1e-4)
            if step == 3:  # beams change places
                model.decoder.reorder_incremental_state_scripting(state, order)
                encoded = model.encoder.reorder_encoder_out(encoded, order)
                previous, whole = previous[order], whole[order]


@torch.no_grad()
@pytest.mark.parametrize("case", [case for case in CASES if family_of(case) == "transformer"])
def test_a_captured_step_is_the_ordinary_one(case):
    model = build(case).to(DEVICE).eval()
    if not fits_fixed_step(model.decoder):
        pytest.skip("its mixing looks at values on the host")
    model.decoder.returns_attention = False
    source, lengths, previous = (tensor.to(DEVICE) for tensor in batch(targets=(6, 6, 6)))
    encoded = model.encoder.reorder_encoder_out(model.encoder(source, lengths), torch.arange(3, device=DEVICE))
    states, same = ({}, {}), torch.arange(3, device=DEVICE)
    for state in states:
        model.decoder(previous[:, :1], encoder_out=encoded, incremental_state=state)
    fixed = FixedStep(model.decoder, encoded, states[1], 3, 6)
    for step in range(2, 7):
        expected = model.decoder(previous[:, :step], encoder_out=encoded, incremental_state=states[0])[0][:, -1]
        torch.testing.assert_close(fixed(previous[:, step - 1 : step], same), expected, rtol=1e-3, atol=1e-4)
    assert (fixed.graph is None) == (DEVICE == "cpu")
