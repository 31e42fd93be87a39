"""A step of beam search as the caches see it: which hypothesis each row goes on from, and what that moves.

R rows of the batch, S steps so far, H heads, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: share of the past beyond which all of it is copied: finding what differs then saves nothing
MOVED_AT_MOST = 0.5


class Reordering:
    """Row i of the batch becomes the former row ``rows[i]``; made once for the caches of all layers.

    Args:
        rows: (R',) indices.
        origin: (R, S), or None if nobody kept it: rows with the same number in a column have that step in common, as
            hypotheses with the same beginning have.
    """

    def __init__(self, rows: Tensor, origin: Tensor | None = None) -> None:
        self.rows, self.origin = rows, origin
        self._sentences: dict[int, Tensor | None] = {}
        self._keeps: dict[tuple[int, int], bool] = {}
        self._moves: dict[tuple[int, ...], tuple[Tensor, Tensor] | None] = {}

    def sentences(self, hypotheses: int) -> Tensor | None:
        """(R' / hypotheses,): the former sentence of each; None if hypotheses of different sentences mix."""
        if hypotheses not in self._sentences:
            found = None
            if self.rows.numel() % hypotheses == 0:
                groups = torch.div(self.rows.view(-1, hypotheses), hypotheses, rounding_mode="floor")
                if bool(groups.eq(groups[:, :1]).all()):
                    found = groups[:, 0]
            self._sentences[hypotheses] = found
        return self._sentences[hypotheses]

    def keeps_sentences(self, hypotheses: int, sentences: int) -> bool:
        """Whether every hypothesis stays with its sentence, and none of the ``sentences`` leaves."""
        if (hypotheses, sentences) not in self._keeps:
            found = self.sentences(hypotheses)
            kept = found is not None and torch.equal(found, torch.arange(sentences, device=found.device))
            self._keeps[hypotheses, sentences] = kept
        return self._keeps[hypotheses, sentences]

    def move(self, past: Tensor) -> Tensor:
        """The past (R, H, S, D) in its new order of R' <= R rows, in its own memory.

        That has room for more steps: ``past`` is the beginning of a (R, H, room, D).
        """
        heads, steps, width = past.shape[1:]
        room = past.stride(1) // width
        if (heads, steps, room) not in self._moves:
            self._moves[heads, steps, room] = self._find_moves(heads, steps, room)
        moves = self._moves[heads, steps, room]
        if moves is None:
            past[: self.rows.numel()] = past.index_select(0, self.rows)
            return past[: self.rows.numel()]
        target, source = moves
        if target.numel():
            flat = past.as_strided((past.size(0) * heads * room, width), (width, 1))
            flat.index_copy_(0, target, flat.index_select(0, source))
        return past

    def _find_moves(self, heads: int, steps: int, room: int) -> tuple[Tensor, Tensor] | None:
        """Where the vectors of a cache go and come from, as indices of (R * H * room); None: all are to be copied."""
        origin = self.origin
        if origin is None or origin.size(1) != steps or origin.size(0) != self.rows.numel():
            return None
        row, step = origin.index_select(0, self.rows).ne(origin).nonzero(as_tuple=True)
        if row.numel() > MOVED_AT_MOST * origin.numel():
            return None
        head = torch.arange(heads, device=row.device)[:, None]
        target = (row * heads + head) * room + step
        source = (self.rows[row] * heads + head) * room + step
        return target.view(-1), source.view(-1)
