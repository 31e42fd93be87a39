"""Gold alignments in the Pharaoh format, and the alignment error rate of heads of cross-attention.

Och and Ney, *A Systematic Comparison of Various Statistical Alignment Models*, Computational Linguistics 29 (2003).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike, read_lines

from .sentence import Sentence
from .sides import Side

#: a sure link, or a possible one
LINK = re.compile(r"(\d+)([-p?])(\d+)")


class Gold(NamedTuple):
    """The links of a line, (word of the source, word of the target), from 0; sure ones are possible, too."""

    sure: frozenset[tuple[int, int]]
    possible: frozenset[tuple[int, int]]


class Rates(NamedTuple):
    """Alignment error rates of a head.

    Args:
        output: a target word's link is by the weights that predict it.
        input: by the weights of the query that reads it.
    """

    output: float
    input: float


def read_gold(path: PathLike) -> list[Gold]:
    """Read ``0-0 1-2 3p4``: sure links, and possible ones with ``p`` or ``?``.

    Raises:
        UserError: a line holds something else; the message has its number.
    """
    found = []
    for number, line in enumerate(read_lines(path), 1):
        links: dict[str, set[tuple[int, int]]] = {"-": set(), "p": set()}
        for word in line.split():
            match = LINK.fullmatch(word)
            if match is None:
                raise UserError(f"{path}:{number}: {word!r} is no link; write SOURCE-TARGET, as in 0-0, or 0p0")
            links["-" if match[2] == "-" else "p"].add((int(match[1]), int(match[3])))
        found.append(Gold(frozenset(links["-"]), frozenset(links["-"] | links["p"])))
    return found


class ErrorRates:
    """The alignment error rates of all heads over many sentences.

    Args:
        path: of the gold alignments, for messages.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = path
        self.sure = 0
        self.counts: list[np.ndarray] = []  # a layer: (2, H, 3), links, sure ones met, possible ones met

    def add(self, sentence: Sentence, gold: Gold) -> None:
        """Count a sentence whose target was given.

        Raises:
            UserError: the gold alignment has words that the sentence has not.
        """
        if "cross" not in sentence.sites:
            return
        target, source = sentence.edges("cross")
        words = [_text_words(side) for side in (source, target)]
        for side, name, at in zip(words, ("source", "target"), (0, 1)):
            beyond = [link for link in gold.possible if link[at] >= max(side, default=-1) + 1]
            if beyond:
                raise UserError(
                    f"{self.path}:{sentence.number}: {beyond[0][0]}-{beyond[0][1]} has {name} word {beyond[0][at]}, "
                    f"but the line has {max(side, default=-1) + 1} words there; are these alignments of this text?"
                )
        self.sure += len(gold.sure)
        layers = sentence.sites["cross"]
        if not self.counts:
            self.counts = [np.zeros((2, len(layer.used), 3)) for layer in layers]
        for counted, layer in zip(self.counts, layers):
            by_word = _by_source_word(layer.used, words[0])
            for shift in (0, 1):
                for head, links in enumerate(_links(by_word, words[1], shift)):
                    counted[shift, head] += (len(links), len(links & gold.sure), len(links & gold.possible))

    def rates(self) -> list[list[Rates]]:
        """Layer by layer the rates of the heads, from 0 to 1."""
        found = []
        for counted in self.counts:
            links, sure, possible = counted.transpose(2, 0, 1)
            rate = 1.0 - (sure + possible) / np.maximum(links + self.sure, 1)
            found.append([Rates(float(output), float(given)) for output, given in rate.T])
        return found


def _text_words(side: Side) -> list[int]:
    """For each token the number of its word among the words of the text; -1 of a special symbol but ``<unk>``."""
    found: list[int] = []
    count, last = -1, None
    for word, special, piece in zip(side.words, side.specials, side.pieces):
        no_text = special and piece != "<unk>"
        if not no_text and word != last:
            count += 1
        last = None if no_text else word
        found.append(-1 if no_text else count)
    return found


def _by_source_word(weights: np.ndarray, words: Sequence[int]) -> np.ndarray:
    """(H, T, S) -> (H, T, words), the weights of a word's tokens added."""
    found = np.zeros((*weights.shape[:2], max(words, default=-1) + 1))
    for column, word in enumerate(words):
        if word >= 0:
            found[:, :, word] += weights[:, :, column]
    return found


def _links(by_word: np.ndarray, words: Sequence[int], shift: int) -> list[set[tuple[int, int]]]:
    """For each head the source word that each target word looks at most, by the mean of its tokens' rows.

    ``shift`` 1: a token's row is the one after, whose query reads it.
    """
    heads, queries, sources = by_word.shape
    found: list[set[tuple[int, int]]] = [set() for _ in range(heads)]
    if not sources:
        return found
    for word in range(max(words, default=-1) + 1):
        rows = [at + shift for at, one in enumerate(words) if one == word and at + shift < queries]
        if rows:
            best = by_word[:, rows].mean(axis=1).argmax(axis=-1)
            for head, source in enumerate(best.tolist()):
                found[head].add((source, word))
    return found
