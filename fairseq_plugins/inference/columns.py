"""What an answer looks like: a line for each hypothesis, in columns separated by tabs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .engine import Hypothesis

#: the answer to an empty line
NOTHING = Hypothesis("", 0.0)


@dataclass
class Columns:
    """The columns of an answer: number, text, score, alignment, the words that it aligns."""

    numbers: bool
    scores: bool
    alignments: bool

    def lines(self, number: int, hypotheses: list[Hypothesis]) -> Iterator[str]:
        """The lines of an answer, at least one."""
        for one in hypotheses or [NOTHING]:
            row = [str(number)] if self.numbers else []
            row.append(one.text)
            if self.scores:
                row.append("" if one is NOTHING else f"{one.score:.4f}")
            if self.alignments:
                row += [" ".join(f"{source}-{word}" for source, word in one.pairs), one.source, one.words]
            yield "\t".join(row)
