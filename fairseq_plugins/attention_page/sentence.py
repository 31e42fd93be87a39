"""One sentence as a model saw it: tokens, weights, losses, and the search for its translation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from .recording import Array, Weights
from .sides import Side

#: site -> the sides that queries and keys are from
EDGES = {"encoder": ("source", "source"), "decoder": ("inputs", "inputs"), "cross": ("target", "source")}


class Node(NamedTuple):
    """A beginning of a hypothesis.

    Args:
        parent: number of the node that is one token shorter; -1 of the empty beginning, which is node 0.
        piece: its last token.
        score: its log-probability, in nats.
    """

    parent: int
    piece: str
    score: float


@dataclass
class Beam:
    """How a translation was found.

    Args:
        nodes: all beginnings that were alive.
        steps: for each step of the search the nodes that were alive, the best first.
        weights: of cross-attention, layer by layer (H, N, S): what node n attended to for the token after it.
        finished: the hypotheses in their order: text in pieces, the score that ranks them.
    """

    nodes: list[Node]
    steps: list[list[int]]
    weights: list[Array]
    finished: list[tuple[list[str], float]]


@dataclass
class Sentence:
    """What a model did with a line.

    Args:
        number: of the line, from 1.
        source: what the encoder reads; None of a causal language model.
        inputs, target: what the decoder reads, and what it is to predict from each; None without a decoder.
        target_ids: the tokens of ``target``.
        sites: site -> the weights of its layers.
        losses: of each token of ``target``, or of ``source`` where there is none, in nats; None where nothing is
            predicted. A masked language model's are those with this token alone masked.
        verdict: of a classifier.
        beam: of a translation that was searched for.
        note: why there is nothing to see.
    """

    number: int
    source: Side | None = None
    inputs: Side | None = None
    target: Side | None = None
    target_ids: Any = None
    sites: dict[str, list[Weights]] = field(default_factory=dict)
    losses: Sequence[float | None] | None = None
    verdict: str = ""
    beam: Beam | None = None
    note: str = ""

    def edges(self, site: str) -> tuple[Side, Side]:
        """The tokens of a site's queries and of its keys."""
        queries, keys = (getattr(self, name) for name in EDGES[site])
        return queries, keys


class Example(NamedTuple):
    """A line for a model to look at.

    Args:
        number: of the line, from 1.
        source: token ids, as the model's encoder, or a language model, reads them.
        target: token ids that a translation model is to predict, ``</s>`` included; None: it searches.
    """

    number: int
    source: Any
    target: Any = None


class Model(Protocol):
    """A model whose attention can be seen."""

    name: str
    #: what it does: ``translation``, ``causal LM``, ``masked LM``, ``classification``, ``encoder``
    kind: str
    #: what is said of it: name -> value
    facts: dict[str, str]

    def example(self, number: int, text: str, target: str | None = None) -> Example:
        """A line of text, and the text that it is to be translated to."""
        ...

    def look(self, example: Example, beam: int) -> Sentence:
        """Run the model on a line; ``beam`` is the width of its search."""
        ...

    def pieces_of(self, ids: Any) -> tuple[str, ...]:
        """How tokens of its output are shown.

        Raises:
            IndexError: one is not in its vocabulary.
        """
        ...
