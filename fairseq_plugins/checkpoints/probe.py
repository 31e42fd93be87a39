"""A converted model beside its original: both run the same few sentences before the result takes its final name.

A converter's lists of options and parameters say what it knows; only the outputs show what it has forgotten. The
sentences have odd lengths and are padded on the side where the family pads. What rounding does to a model is measured
on the model: most lose their last digits, some half of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import building
from .checkpoint import Checkpoint, Weights
from .reading import CheckpointError

#: tokens of each sentence, or as many as the model takes
LENGTHS = (33, 13, 7, 3)
BOS, PAD, EOS, UNK = range(4)
#: names of outputs, with :func:`of_head`
LOGITS, FEATURES = "logits", "features"
#: conversions round other numbers than the original's measured rounding, but no more of them
MARGIN = 10
#: of the largest output: less is no difference
LEAST = 1e-6
#: a parameter -> how far apart the numbers are that it can be stored as, in its shape or one that broadcasts to it
Steps = Callable[[Tensor], Tensor]
#: what a model computes, by name
Outputs = dict[str, Tensor]


@dataclass
class Probe:
    """Sentences for a model.

    Attributes:
        inputs: what its ``forward`` takes, B x T each, and ``src_lengths`` (B).
        text: B x T, where its outputs are of text and not of padding.
    """

    inputs: dict[str, Tensor]
    text: Tensor


def probe_of(model: Any) -> Probe:
    """Sentences for a transformer, roberta or transformer_lm; models of the same sizes get the same ones."""
    if not hasattr(model, "decoder"):
        tokens = padded(sentences(model.encoder, begin=[BOS], end=[EOS]))
        return Probe({"src_tokens": tokens}, tokens.ne(PAD))
    read = padded(sentences(model.decoder, begin=[EOS]))
    if not hasattr(model, "encoder"):
        return Probe({"src_tokens": read}, read.ne(PAD))
    sources = sentences(model.encoder, end=[EOS])[::-1]  # the shortest with the longest target
    lengths = torch.tensor([len(source) for source in sources])
    inputs = {"src_tokens": padded(sources, left=True), "src_lengths": lengths, "prev_output_tokens": read}
    return Probe(inputs, read.ne(PAD))


def sentences(side: Any, begin: Sequence[int] = (), end: Sequence[int] = ()) -> list[Tensor]:
    """Words of an encoder's or decoder's dictionary, the last one among them, one sentence for each length."""
    words, drawn = len(side.dictionary), torch.Generator().manual_seed(1)
    made = []
    for length in LENGTHS:
        inner = max(1, min(length, side.max_positions()) - len(begin) - len(end))
        made.append(torch.tensor([*begin, *torch.randint(UNK, words, (inner,), generator=drawn), *end]))
    made[0][len(begin)] = words - 1
    return made


def padded(rows: Sequence[Tensor], left: bool = False) -> Tensor:
    """Sentences of unequal lengths as one matrix."""
    width = max(map(len, rows))
    gaps = [torch.full((width - len(row),), PAD) for row in rows]
    return torch.stack([torch.cat([gap, row] if left else [row, gap]) for row, gap in zip(rows, gaps)])


def outputs(model: Any, probe: Probe, name: str) -> Outputs:
    """All that a model of fairseq's computes.

    The logits (log-probabilities, with an adaptive softmax), text x words; of a roberta also the features that they are
    made of, and the logits of each classification head, B x classes.

    Raises:
        CheckpointError: it cannot be run; ``name`` is its name there.
    """
    adaptive = getattr(getattr(model, "decoder", None), "adaptive_softmax", None) is not None
    with running(name):
        answer = model(**probe.inputs)
        logits = model.get_normalized_probs(answer, log_probs=True) if adaptive else answer[0]
        found = {LOGITS: logits[probe.text]}
        if hasattr(model, "classification_heads"):
            found[FEATURES] = model(**probe.inputs, features_only=True)[0][probe.text]
            for head in model.classification_heads:
                found[of_head(head)] = model(**probe.inputs, classification_head_name=head)[0]
    return found


def of_head(name: str) -> str:
    """What the outputs of a classification head are called."""
    return f"logits of the head {name}"


@contextmanager
def running(name: str) -> Iterator[None]:
    """Run a model without gradients; whatever it stops with becomes a CheckpointError about ``name``."""
    try:
        with torch.no_grad():
            yield
    except CheckpointError:
        raise
    except Exception as error:  # anything: the model is somebody's, and so are its options
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise CheckpointError(f"{name} cannot be run on a probe, so nothing was written ({reason})") from error


def steps_of(weights: Weights) -> Steps:
    """Those of the least precise of some weights."""
    return float_steps(*{tensor.dtype for tensor in weights.values() if tensor.is_floating_point()})


def float_steps(*types: torch.dtype) -> Steps:
    """Those of the least precise of some types and float32, in which fairseq computes some things always."""
    relative = max(torch.finfo(dtype).eps for dtype in (*types, torch.float32))
    return lambda parameter: relative * parameter.abs()


@dataclass
class Expected:
    """What a converted model is to compute.

    Attributes:
        outputs: the original's, in float64.
        rounding: how far they are from those of the original in float32 with weights rounded at random.
    """

    outputs: Outputs
    rounding: dict[str, float]

    @classmethod
    def of(cls, model: Any, answer: Callable[[Any], Outputs], steps: Steps) -> Expected:
        """Run a model of fairseq's by ``answer``; its weights are lost."""
        exact = answer(model.double().eval())
        drawn = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.rand(parameter.shape, generator=drawn, dtype=parameter.dtype) - 0.5
                parameter += noise.mul_(steps(parameter))
        rough = answer(model.float())
        return cls(exact, {name: float((rough[name] - values).abs().max()) for name, values in exact.items()})

    def check(self, found: Outputs, source: str, result: str) -> None:
        """Check that a converted model computes it.

        Args:
            found: the converted model's outputs, all or some of them.
            source: the original's file, for messages.
            result: what it became, such as ``the folded model``.

        Raises:
            CheckpointError: an output differs by more than rounding explains.
        """
        for name, values in found.items():
            original = self.outputs[name]
            bound = max(MARGIN * self.rounding[name], LEAST * float(original.abs().max()))
            if not math.isfinite(bound):
                raise CheckpointError(f"{source}: its {name} on a probe are not finite, so nothing was written")
            difference = float((values - original).abs().max()) if values.shape == original.shape else math.inf
            if not difference <= bound:  # nor NaN
                raise CheckpointError(
                    f"{source}: {result} would not compute the same: on a probe the {name} differ by up to "
                    f"{difference:.2g} and rounding explains {bound:.1g}, so nothing was written"
                )


def check_same(before: Checkpoint, after: Checkpoint, result: str) -> None:
    """Check that two checkpoints in memory are models of the same outputs; see :meth:`Expected.check`."""
    original = building.load(before)
    probe = probe_of(original)
    expected = Expected.of(original, lambda model: outputs(model, probe, before.name), steps_of(before.weights))
    del original  # room for two models is wherever one was trained, but not for three
    name = f"{before.name}: {result}"
    expected.check(outputs(building.load(after.called(name)).double(), probe, name), before.name, result)
