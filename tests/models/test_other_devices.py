"""What a GPU would wait for, found without one: on torch's ``meta`` device, where tensors have no values to look at.

fairseq itself looks (whether a batch has padding, for one); what it sees here is 0. We may not look.
"""

import contextlib
import sys
from pathlib import Path

import pytest
import torch
from builders import CASES, batch, build, family_of
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_plugins.models.fixed_step import FixedStep

OURS = str(Path(__file__).resolve().parents[2] / "fairseq_plugins")
LOOKS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
LOOKS += (torch.ops.aten.nonzero.default, torch.ops.aten.masked_select.default, torch.ops.aten.is_nonzero.default)


#: value-aware-r exchanges keys until no exchange helps, which only their values tell
CHOSEN = {case: CASES[case] for case in CASES if "valueaware" not in case and "value_aware" not in case}


def looker():
    """The file and line outside torch that wanted a value."""
    frame = sys._getframe(2)
    while "/torch/" in frame.f_code.co_filename or "torch" in frame.f_globals.get("__name__", "").split(".")[:1]:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Looks(TorchDispatchMode):
    """Keeps which lines read a value on the host: those of the package read 1, and others 0."""

    def __init__(self):
        super().__init__()
        self.all = []

    @property
    def ours(self):
        return [look for look in self.all if look.startswith(OURS)]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func not in LOOKS or args[0].device.type != "meta":
            return func(*args, **(kwargs or {}))
        self.all.append(f"{looker()} {func}")
        return int(self.all[-1].startswith(OURS))


@pytest.fixture(autouse=True)
def _as_a_gpu_has_it(monkeypatch):
    """Sizes as tensors are on the host, and autocast knows the device: torch has neither for ``meta``."""
    monkeypatch.setattr(torch, "_shape_as_tensor", lambda tensor: torch.tensor(tensor.shape))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device=None: False)
    monkeypatch.setattr(torch, "autocast", lambda device, **_: contextlib.nullcontext())


def on_meta(case, **options):
    """Of one layer a side, but where layers are of different kinds: what waits in one waits in each."""
    layers = {} if "," in CHOSEN[case].get("attention_r", "") else {"encoder_layers": 1, "decoder_layers": 1}
    return build(case, **layers, **options).to("meta"), [tensor.to("meta") for tensor in batch()]


@pytest.mark.parametrize("case", CHOSEN)
def test_a_training_step_neither_waits_nor_leaves_its_device(case):
    """With dropout and padding; whatever is made on another device could not be computed with."""
    dropped = {} if family_of(case) == "roberta" else {"attention_dropout": 0.1}
    model, (source, lengths, previous) = on_meta(case, dropout=0.1, **dropped)
    given = {"transformer": (source, lengths, previous), "roberta": (source,), "transformer_lm": (previous,)}
    with Looks() as looks:
        logits = model.train()(*given[family_of(case)])[0]
        logits.float().log_softmax(-1).sum().backward()
    assert looks.ours == []
    assert all(parameter.grad is None or parameter.grad.device.type == "meta" for parameter in model.parameters())


@pytest.mark.parametrize("case", [case for case in CHOSEN if family_of(case) != "roberta"])
def test_decoding_steps_neither_wait_nor_leave_their_device(case):
    """Three steps, with reordered beams between them."""
    model, (source, lengths, _) = on_meta(case)
    model, state, rows = model.eval(), {}, 2 * len(source)
    order = torch.arange(rows, device="meta")
    encoded = None
    if hasattr(model, "encoder"):
        with torch.no_grad(), Looks() as looks:
            encoded = model.encoder(source, lengths)
        assert looks.ours == []
        encoded = model.encoder.reorder_encoder_out(encoded, order % len(source))
    for step in range(1, 4):
        with torch.no_grad(), Looks() as looks:
            tokens = torch.full((rows, step), 5, device="meta")
            logits = model.decoder(tokens, encoder_out=encoded, incremental_state=state)[0]
        # the first of a batch asks once whether its rows are the hypotheses of its sentences
        assert len(looks.ours) <= (step == 1)
        with Looks() as looks:
            model.decoder.reorder_incremental_state_scripting(state, order)
        assert len(looks.ours) <= 2  # where the search itself looks: whether they stay with them, and all are there
        if encoded is not None:
            encoded = model.encoder.reorder_encoder_out(encoded, order)
    assert logits.device.type == "meta"
    state = {}
    with torch.no_grad():
        with Looks():
            model.decoder(tokens[:, :1], encoder_out=encoded, incremental_state=state)
            step = FixedStep(model.decoder, encoded, state, rows, 4)
        with Looks() as looks:
            assert step(tokens[:, :1], order).shape == logits[:, -1].shape
    assert looks.all == []  # nobody: a captured graph cannot hold it
