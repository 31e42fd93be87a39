"""How a beam search went: every beginning of a hypothesis that was alive, and what it attended to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .recording import Array
from .sentence import Beam, Node


class Trace:
    """Watches a search step by step.

    Args:
        pieces: ids -> how they are shown.
    """

    def __init__(self, pieces: Callable[[Sequence[int]], list[str]]) -> None:
        self.pieces = pieces
        self.scores: dict[tuple[int, ...], float] = {(): 0.0}
        self.steps: list[list[tuple[int, ...]]] = []
        self.finished: list[tuple[list[int], float]] = []
        self._next: dict[tuple[int, ...], Callable[[int], float]] = {}

    def step(self, rows: Sequence[Sequence[int]], logs: Array) -> None:
        """Beginnings that are alive, without their first symbol, and the log-probabilities of what comes next."""
        alive = list(dict.fromkeys(map(tuple, rows)))
        for row in alive:
            if row not in self.scores:
                self.scores[row] = self.scores[row[:-1]] + self._next[row[:-1]](row[-1])
        self._next = {tuple(row): _log_of(logs, number) for number, row in enumerate(rows)}
        self.steps.append(sorted(alive, key=lambda row: -self.scores[row]))


def _log_of(logs: Array, row: int) -> Callable[[int], float]:
    return lambda token: float(logs[row, token])


def beam_of(trace: Trace, weights_of: Callable[[list[list[int]]], list[Array]]) -> Beam:
    """The search as it is shown.

    Args:
        trace: of the search.
        weights_of: beginnings -> the weights (B, H, T, S) of cross-attention, layer by layer.
    """
    alive = {row[:end] for step in trace.steps for row in step for end in range(len(row) + 1)}
    nodes = sorted(alive, key=lambda node: (len(node), node))
    number = {node: at for at, node in enumerate(nodes)}
    longest = [node for node in nodes if node not in {other[:-1] for other in nodes if other}]
    layers = weights_of([list(node) for node in longest])
    # the row of each beginning, in the first of the longest ones that go on from it
    where: dict[tuple[int, ...], tuple[int, int]] = {}
    for row, node in enumerate(longest):
        for end in range(len(node) + 1):
            where.setdefault(node[:end], (row, end))
    rows, places = np.array([where[node] for node in nodes]).T
    return Beam(
        nodes=[
            Node(number[node[:-1]] if node else -1, trace.pieces(node)[-1] if node else "", trace.scores[node])
            for node in nodes
        ],
        steps=[[number[row] for row in step] for step in trace.steps],
        weights=[np.ascontiguousarray(layer[rows, :, places].transpose(1, 0, 2)) for layer in layers],
        finished=[(trace.pieces(ids), score) for ids, score in trace.finished],
    )
