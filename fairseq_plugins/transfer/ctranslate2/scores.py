"""What CTranslate2 makes of an exported folder, beside what fairseq makes of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fairseq_plugins.checkpoints.probe import EOS, LOGITS, PAD, Probe, outputs, running
from fairseq_plugins.lines import PathLike

from .search import load_translator


def fairseq_scores(model: Any, probe: Probe, source: str) -> Tensor:
    """Log-probabilities of a probe's target words and of the </s> behind each sentence, one sentence after the other.

    ``source`` is the model's name in messages.
    """
    read = probe.inputs["prev_output_tokens"]
    following = torch.cat([read[:, 1:], read.new_full((len(read), 1), PAD)], dim=1)
    following = following.masked_fill(following.eq(PAD), EOS)[probe.text]
    return outputs(model, probe, source)[LOGITS].log_softmax(-1).gather(-1, following[:, None]).squeeze(-1)


def ctranslate2_scores(folder: PathLike, probe: Probe, symbols: Sequence[Sequence[str]], name: str) -> Tensor:
    """The same by CTranslate2 on a CPU; ``symbols`` are those of the source and of the target language."""
    with running(name):
        sources, targets = (
            [[side[word] for word in row.tolist() if word not in (PAD, EOS)] for row in tokens]
            for side, tokens in zip(symbols, (probe.inputs["src_tokens"], probe.inputs["prev_output_tokens"]))
        )
        found: list[float] = []
        for result in load_translator(folder, device="cpu").score_batch(sources, targets, max_input_length=0):
            found.extend(result.log_probs)
    return torch.tensor(found, dtype=torch.float64)
