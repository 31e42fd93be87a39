"""What models say beside their attention, alike for fairseq's and those of transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: masked copies of a line that a masked language model reads at once
ROWS = 64


def pseudo_losses(
    tokens: Tensor, places: Sequence[int], mask: int, logits_at: Callable[[Tensor, Tensor], Tensor]
) -> list[float | None]:
    """The loss in nats of each token (T) with it alone masked, None where it is none of ``places``.

    Salazar et al., *Masked Language Model Scoring*, ACL 2020, equation 1.

    Args:
        mask: the symbol that hides a token.
        logits_at: of masked lines (N, T), each with one hidden place (N), the logits there (N, V).
    """
    losses: list[float | None] = [None] * len(tokens)
    for begin in range(0, len(places), ROWS):
        at = torch.tensor(places[begin : begin + ROWS], device=tokens.device)
        rows = tokens.repeat(len(at), 1).scatter_(1, at[:, None], mask)
        found = F.cross_entropy(logits_at(rows, at).float(), tokens[at], reduction="none")
        for place, loss in zip(at.tolist(), found.tolist()):
            losses[place] = loss
    return losses


def verdict(scores: Tensor, label_of: Callable[[int], str]) -> str:
    """What a classifier says by its scores (classes), or by its one number."""
    if len(scores) == 1:
        return f"{float(scores[0]):.3f}"
    best = int(scores.argmax())
    return f"class {label_of(best)}, probability {float(scores.float().softmax(-1)[best]):.2f}"
