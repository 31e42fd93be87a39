"""The way of many lines through engines: encoded, put into batches, answered, and back in their order.

Batches are made of a buffer of lines before anyone knows which process takes them, so what comes out does not depend on
the number of processes; and no more buffers are in memory than keep them all at work.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fairseq.data import data_utils

from fairseq_plugins.errors import UserError

from .engine import Hypothesis
from .long_lines import parts

if TYPE_CHECKING:
    from .pool import Here, Later, Processes


class Answered(NamedTuple):
    """A line's number, from 1, and its hypotheses, the best first; none where the line is empty."""

    number: int
    hypotheses: list[Hypothesis]


@dataclass
class Job:
    """What is done with lines.

    Args:
        pool: where.
        encode: makes pieces of a raw line.
        name: of the lines' source, for messages.
        equal_lengths: whether a batch has lines of one length.
        split: whether lines longer than the model takes are answered in parts, and not refused.
        max_tokens, max_sentences: of a batch; the tokens are those of the longest line times lines.
        multiple: ``--required-batch-size-multiple``.
        seed: of whatever draws random numbers.

    Attributes:
        cut: numbers of lines that were cut inside a sentence.
        ended: numbers of lines with a hypothesis that the search had to end.
    """

    pool: Here | Processes
    encode: Callable[[str], str]
    name: str
    equal_lengths: bool = False
    split: bool = True
    max_tokens: int | None = None
    max_sentences: int | None = None
    multiple: int = 8
    seed: int = 1
    cut: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    def run(self, lines: Iterable[str], size: int, first: int = 1) -> Iterator[list[Answered]]:
        """Answer lines, buffer after buffer.

        Args:
            lines: raw.
            size: lines of a buffer.
            first: number of the first line.

        Raises:
            UserError: a line cannot be used; what comes before it has been given.
        """
        waiting: collections.deque[Buffer] = collections.deque()
        buffers = self._buffers(lines, size, first)
        failure: UserError | None = None
        while failure is None:
            try:
                waiting.append(next(buffers))
            except StopIteration:
                break
            except UserError as error:
                failure = error
            # twice as many as processes, one at work and one to go on with; who gives a line at a time waits for each
            enough = 2 * self.pool.processes if self.pool.processes > 1 and size > 1 else 0
            while waiting and (_batches(waiting) >= enough or len(waiting) > enough):
                yield self._finish(waiting.popleft())
        while waiting:
            yield self._finish(waiting.popleft())
        if failure is not None:
            raise failure

    def _buffers(self, lines: Iterable[str], size: int, first: int) -> Iterator[Buffer]:
        """Buffers whose batches have been submitted; the lines before one that cannot be used are a last buffer."""
        held: list[list[str]] = []
        failure: UserError | None = None
        numbered = enumerate(lines, first)
        while failure is None:
            try:
                number, line = next(numbered)
                held.append(self._parts(line, number))
            except StopIteration:
                break
            except UserError as error:
                failure = error
            if len(held) == size:
                yield self._submit(held, first)
                held, first = [], first + size
        if held:
            yield self._submit(held, first)
        if failure is not None:
            raise failure

    def _submit(self, held: list[list[str]], first: int) -> Buffer:
        owners = [number for number, texts in enumerate(held) for _ in texts]
        texts = [text for made in held for text in made]
        batches = self._batches(texts)
        later = [self.pool.submit([texts[unit] for unit in batch], self.seed + first + batch[0]) for batch in batches]
        return Buffer(len(held), first, owners, batches, later)

    def _parts(self, line: str, number: int) -> list[str]:
        """The pieces of a line, or of its parts; none of an empty one.

        Raises:
            UserError: it is too long.
        """
        pieces = self.encode(line)
        if not pieces.strip():
            return []
        if _length(pieces) <= self.pool.limit:
            return [pieces]
        if not self.split:
            raise UserError(
                f"{self.name}:{number}: {_length(pieces)} tokens, but the model takes {self.pool.limit} at most; "
                "shorten the line, or leave out --long refuse"
            )
        made = parts(line, lambda text: _length(self.encode(text)), self.pool.limit)
        if any(level for _, level in made):
            self.cut.append(number)
        return [self.encode(text) for text, _ in made]

    def _batches(self, texts: list[str]) -> list[list[int]]:
        """Numbers of texts by batches, the longest first: what comes last should be short."""
        lengths = np.array([_length(text) for text in texts], dtype=np.int64)
        order = np.argsort(lengths, kind="mergesort")
        groups = [order]
        if self.equal_lengths:
            groups = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
        found: list[Any] = []
        for group in groups:
            if len(group):
                found += data_utils.batch_by_size(
                    group,
                    lambda unit: lengths[unit],
                    num_tokens_vec=lengths[group],
                    max_tokens=self.max_tokens,
                    max_sentences=self.max_sentences,
                    required_batch_size_multiple=self.multiple,
                )
        return [[int(unit) for unit in batch] for batch in reversed(found)]

    def _finish(self, buffer: Buffer) -> list[Answered]:
        answers: list[list[list[Hypothesis]]] = [[] for _ in range(buffer.lines)]
        units: dict[int, list[Hypothesis]] = {}
        for batch, later in zip(buffer.batches, buffer.later):
            units.update(zip(batch, later()))
        for unit, owner in enumerate(buffer.owners):
            answers[owner].append(units[unit])
        made = [
            Answered(number, [joined(ranked) for ranked in zip(*found)])  # the best of all parts, the second of all ...
            for number, found in enumerate(answers, buffer.first)
        ]
        self.ended += [each.number for each in made if any(one.cut for one in each.hypotheses[:1])]
        return made


class Buffer(NamedTuple):
    """Lines on their way: how many, the line of each unit, the units of each batch, and where its answers will be."""

    lines: int
    first: int
    owners: list[int]
    batches: list[list[int]]
    later: list[Later]


def joined(parts_of_line: Iterable[Hypothesis]) -> Hypothesis:
    """One hypothesis of those of a line's parts; its score is the mean over all of their tokens."""
    made, *others = parts_of_line
    for part in others:
        weight = made.weight + part.weight
        shift = (len(made.source.split()), len(made.words.split()))
        made = Hypothesis(
            f"{made.text} {part.text}".strip(),
            (made.score * made.weight + part.score * part.weight) / weight,
            weight,
            made.cut or part.cut,
            (*made.pairs, *((source + shift[0], word + shift[1]) for source, word in part.pairs)),
            f"{made.source} {part.source}".strip(),
            f"{made.words} {part.words}".strip(),
        )
    return made


def _length(pieces: str) -> int:
    return len(pieces.split()) + 1  # </s>


def _batches(waiting: Iterable[Buffer]) -> int:
    return sum(len(buffer.later) for buffer in waiting)
