"""The tokens along the edges of a matrix: how they read, and which of them are one word."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BLANK = "\u2581"
#: ends a piece that its word goes on after (subword-nmt); ends a word; begins a piece inside a word (WordPiece)
GOES_ON, ENDS, INSIDE = "@@", "</w>", "##"


@dataclass(frozen=True)
class Side:
    """The tokens that a model reads or writes.

    Args:
        pieces: what is shown of each.
        words: for each the number, from 0, of its word; a special symbol is one of its own.
        specials: for each whether it is no text.
    """

    pieces: tuple[str, ...]
    words: tuple[int, ...]
    specials: tuple[bool, ...]

    def labels(self) -> list[str]:
        """What is shown of each word."""
        found = [""] * (max(self.words, default=-1) + 1)
        for piece, word, special in zip(self.pieces, self.words, self.specials):
            found[word] += piece if special else bare(piece)
        return found

    def punctuation(self) -> list[bool]:
        """For each token whether it is of punctuation alone."""
        kinds = [{unicodedata.category(letter)[0] for letter in bare(piece)} for piece in self.pieces]
        return [not special and bool(found) and found <= {"P", "S"} for found, special in zip(kinds, self.specials)]


def marks_of(vocabulary: Iterable[str]) -> str:
    """Which of the marks of SentencePiece, WordPiece and BPE tell the words of a vocabulary; none if no one does."""
    counts = dict.fromkeys((BLANK, INSIDE, ENDS, GOES_ON), 0)
    for piece in vocabulary:
        for mark in counts:
            at_end = mark in (ENDS, GOES_ON)
            counts[mark] += len(piece) > len(mark) and (piece.endswith(mark) if at_end else piece.startswith(mark))
    mark = max(counts, key=counts.__getitem__)
    return mark if counts[mark] else ""


def side(pieces: Sequence[str], specials: Iterable[bool], mark: str = "") -> Side:
    """Tokens as their vocabulary writes them, whose words are told by a mark of :func:`marks_of`."""
    flags = tuple(specials)
    words: list[int] = []
    goes_on = False  # the word of the piece before
    for piece, special in zip(pieces, flags):
        if mark in (BLANK, INSIDE):
            goes_on = goes_on and piece.startswith(mark) == (mark == INSIDE)
        number = words[-1] if words else -1
        words.append(number if goes_on and not special else number + 1)
        if special or not mark:
            goes_on = False
        elif mark == ENDS:
            goes_on = not piece.endswith(ENDS)
        else:
            goes_on = mark != GOES_ON or piece.endswith(GOES_ON)
    return Side(tuple(pieces), tuple(words), flags)


def bare(piece: str) -> str:
    """A piece without the marks of its vocabulary."""
    text = piece.replace(BLANK, "").removesuffix(ENDS)
    text = text.removesuffix(GOES_ON) if len(text) > len(GOES_ON) else text
    return text.removeprefix(INSIDE) if len(text) > len(INSIDE) else text


def from_bytes(pieces: Iterable[str], byte_of: dict[str, int]) -> list[str]:
    """Tokens of a byte-level BPE as text, a blank before a word as SentencePiece writes it.

    A token that holds a part of a character alone is written as its bytes, such as ``\\xe2``.
    """
    found = []
    for piece in pieces:
        if not all(letter in byte_of for letter in piece):
            found.append(piece)
            continue
        text = bytes(byte_of[letter] for letter in piece).decode("utf-8", "backslashreplace")
        found.append(BLANK + text[1:] if text.startswith(" ") else text)
    return found
