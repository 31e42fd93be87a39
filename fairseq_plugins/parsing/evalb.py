"""Labelled bracketing precision, recall and F1 by the conventions of EVALB (Sekine and Collins, nlp.cs.nyu.edu/evalb).

What is counted follows sections 6 and 7 of EVALB's README. Its error sentences cannot occur: trees over different words
are refused.
"""

from __future__ import annotations

from collections import Counter
from collections import Counter as CounterType
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fairseq_plugins.errors import UserError

from .linearise import category
from .trees import LEAF, OPEN, TRACE, Tree, walk


@dataclass(frozen=True)
class Parameters:
    """EVALB's parameter file; the defaults are those of COLLINS.prm.

    Attributes:
        delete: ``DELETE_LABEL``; of a tag, the word goes with it; of a constituent, only its bracket.
        delete_for_length: ``DELETE_LABEL_FOR_LENGTH``; tags of words that a sentence's length does not count.
        equal: ``EQ_LABEL``; a label, and what it is taken for.
        cutoff: ``CUTOFF_LEN``; words of the sentences that are summed up by themselves.
    """

    delete: frozenset[str] = frozenset(("", "TOP", TRACE, ",", ":", "``", "''", "."))
    delete_for_length: frozenset[str] = frozenset((TRACE,))
    equal: Mapping[str, str] = field(default_factory=lambda: {"PRT": "ADVP"})
    cutoff: int = 40


COLLINS = Parameters()


class Counts(NamedTuple):
    """What is counted in one sentence.

    Attributes:
        matched: brackets that both trees have.
        gold, predicted: brackets of either tree.
        crossing: predicted brackets that cross a bracket of the gold tree.
        length: words of the sentence.
        scored: whether a word is left once punctuation is deleted; EVALB skips the sentence otherwise.
    """

    matched: int
    gold: int
    predicted: int
    crossing: int
    length: int
    scored: bool


_Bracket = tuple[str, int, int]


def _brackets(tree: Tree, parameters: Parameters) -> tuple[list[str], CounterType[_Bracket]]:
    """The words that are left, and label, first word and end of each bracket over some of them."""
    kept: list[str] = []
    brackets: CounterType[_Bracket] = Counter()
    starts: list[int] = []
    for event, node in walk(tree):
        if event == LEAF:
            if node.label not in parameters.delete:
                kept.append(node.word)
        elif event == OPEN:
            starts.append(len(kept))
        else:
            start, label = starts.pop(), category(node.label)
            if start < len(kept) and label not in parameters.delete:
                brackets[parameters.equal.get(label, label), start, len(kept)] += 1
    return kept, brackets


def count(gold: Tree, predicted: Tree, parameters: Parameters = COLLINS) -> Counts:
    """Compare two trees over one sentence.

    Where n brackets of one tree and m of the other have the same label and words, min(n, m) of them match.

    Raises:
        UserError: the words that are left differ; tags of punctuation have to be the same in both trees.
    """
    words, gold_brackets = _brackets(gold, parameters)
    others, brackets = _brackets(predicted, parameters)
    if words != others:
        raise UserError(f"the trees have different words: {' '.join(words)} | {' '.join(others)}")
    spans = {(start, end) for _, start, end in gold_brackets}
    crossing = sum(
        number for (_, start, end), number in brackets.items() if any(_cross(start, end, *span) for span in spans)
    )
    return Counts(
        matched=sum((gold_brackets & brackets).values()),
        gold=sum(gold_brackets.values()),
        predicted=sum(brackets.values()),
        crossing=crossing,
        length=sum(event == LEAF and node.label not in parameters.delete_for_length for event, node in walk(gold)),
        scored=bool(words),
    )


def _cross(start: int, end: int, other_start: int, other_end: int) -> bool:
    return other_start < start < other_end < end or start < other_start < end < other_end


def summarise(counts: Sequence[Counts]) -> dict[str, float]:
    """EVALB's summary of some sentences; ratios in percent, 0 where there is nothing to divide by."""
    scored = [sentence for sentence in counts if sentence.scored]
    matched = sum(sentence.matched for sentence in scored)
    gold = sum(sentence.gold for sentence in scored)
    predicted = sum(sentence.predicted for sentence in scored)
    complete = sum(sentence.matched == sentence.gold == sentence.predicted for sentence in scored)
    return {
        "sentences": len(counts),
        "skipped": len(counts) - len(scored),
        "recall": _percent(matched, gold),
        "precision": _percent(matched, predicted),
        "f1": _percent(2 * matched, gold + predicted),
        "complete match": _percent(complete, len(scored)),
        "average crossing": _percent(sum(sentence.crossing for sentence in scored), len(scored)) / 100,
        "no crossing": _percent(sum(sentence.crossing == 0 for sentence in scored), len(scored)),
        "2 or less crossing": _percent(sum(sentence.crossing <= 2 for sentence in scored), len(scored)),
    }


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def count_all(gold: Sequence[Tree], predicted: Sequence[Tree], parameters: Parameters = COLLINS) -> list[Counts]:
    """:func:`count` of every sentence.

    Raises:
        UserError: the sentences differ; the message has the number of the first one that does, from 1.
    """
    if len(gold) != len(predicted):
        raise UserError(f"{len(gold)} gold trees but {len(predicted)} predicted ones")
    counts = []
    for number, (one, other) in enumerate(zip(gold, predicted), 1):
        try:
            counts.append(count(one, other, parameters))
        except UserError as error:
            raise UserError(f"sentence {number}: {error}") from None
    return counts


def evaluate(
    gold: Sequence[Tree], predicted: Sequence[Tree], parameters: Parameters = COLLINS
) -> dict[str, dict[str, float]]:
    """EVALB's two summaries: ``all`` sentences, and the ``short`` ones of up to ``parameters.cutoff`` words.

    Raises:
        UserError: as :func:`count_all`.
    """
    counts = count_all(gold, predicted, parameters)
    short = [sentence for sentence in counts if sentence.length <= parameters.cutoff]
    return {"all": summarise(counts), "short": summarise(short)}
