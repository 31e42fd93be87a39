"""A converted model beside its original: both run the same few sentences before the result takes its final name.

A converter's lists of options and parameters say what it knows; only the outputs show what it has forgotten. The
sentences have odd lengths and are padded on the side where the family pads. Models compute in float64, so that what
they differ by is no rounding of theirs.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Sequence

import torch
from torch import Tensor

from fairseq_plugins.checkpoints import CheckpointError

from . import models
from .state import Weights

#: tokens of each sentence, or as many as the model takes
LENGTHS = (33, 13, 7, 3)
BOS, PAD, EOS, UNK = range(4)
#: names of outputs, with :func:`of_head`
LOGITS, FEATURES = "logits", "features"
#: how far apart outputs may be, relative to the largest: what fairseq computes in float32 always (softmax, GELU) and
#: the rounding of stored weights, where a conversion makes others
TOLERANCE = 2e-5
OF_HALF_WEIGHTS = {torch.float16: 2e-2, torch.bfloat16: 1e-1}


@dataclass
class Probe:
    """Sentences for a model.

    Attributes:
        inputs: what its ``forward`` takes, B x T each, and ``src_lengths`` (B).
        text: B x T, where its outputs are of text and not of padding.
    """

    inputs: Dict[str, Tensor]
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


def sentences(side: Any, begin: Sequence[int] = (), end: Sequence[int] = ()) -> List[Tensor]:
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


def outputs(model: Any, probe: Probe, name: str) -> Dict[str, Tensor]:
    """All that a model of fairseq's computes.

    The logits (log-probabilities, with an adaptive softmax), text x words; of a roberta also the features that they are
    made of, and the logits of each classification head, B x classes. The model is converted to float64, in place.

    Raises:
        CheckpointError: it cannot be run; ``name`` is its name there.
    """
    adaptive = getattr(getattr(model, "decoder", None), "adaptive_softmax", None) is not None
    with running(name):
        model.double().eval()
        answer = model(**probe.inputs)
        logits = model.get_normalized_probs(answer, log_probs=True) if adaptive else answer[0]
        found = {LOGITS: logits[probe.text]}
        if hasattr(model, "classification_heads"):
            found[FEATURES] = model(**probe.inputs, features_only=True)[0][probe.text]
        for head in getattr(model, "classification_heads", {}):
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


def rounding(weights: Weights) -> float:
    """How far apart outputs may be by the rounding of these weights, relative to the largest."""
    return max([OF_HALF_WEIGHTS.get(tensor.dtype, TOLERANCE) for tensor in weights.values()], default=TOLERANCE)


def check_equal(
    expected: Dict[str, Tensor], found: Dict[str, Tensor], source: str, result: str, allowed: float = TOLERANCE
) -> None:
    """Check that a converted model answers as its original.

    Args:
        expected: the original's outputs.
        found: the converted model's, for all or some of their names.
        source: the original's file, for messages.
        result: what it became, such as ``the folded model``.
        allowed: difference relative to the largest output.

    Raises:
        CheckpointError: an output differs by more.
    """
    for name, values in found.items():
        original = expected[name].double()
        if not original.isfinite().all():
            raise CheckpointError(f"{source}: its {name} on a probe are not finite, so nothing was written")
        bound = allowed * float(original.abs().max())
        difference = float((values.double() - original).abs().max()) if values.shape == original.shape else math.inf
        if not difference <= bound:  # nor NaN
            raise CheckpointError(
                f"{source}: {result} would not compute the same: on a probe the {name} differ by up to "
                f"{difference:.2g} and rounding explains {bound:.1g}, so nothing was written"
            )


def check_states(before: Dict[str, Any], after: Dict[str, Any], source: str, result: str) -> None:
    """Check that two checkpoints in memory are models of the same outputs; see :func:`check_equal`."""
    original = models.load(before, source)
    probe = probe_of(original)
    expected = outputs(original, probe, source)
    del original  # there is room for two models wherever one can be trained, but not for three
    name = f"{source}: {result}"
    found = outputs(models.load(after, name), probe, name)
    check_equal(expected, found, source, result, rounding(after["model"]))
