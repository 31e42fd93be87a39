"""Marian's ``vocab.json`` as a fairseq dictionary, and which of its rows stands where.

Marian has one row less than fairseq: its decoder begins with ``<pad>``, which fairseq keeps for padding. Here it begins
with ``<s>``, a copy of that row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fairseq_plugins.checkpoints import CheckpointError

from .tokenizer import SPECIAL, dictionary_text

BOS, PAD, EOS, UNK = SPECIAL


class MarianVocabulary(NamedTuple):
    """A fairseq dictionary for Marian's rows.

    Attributes:
        symbols: of fairseq's rows from the fifth on.
        rows: Marian's row for each of fairseq's.
        unwritable: pieces that cannot stand in fairseq's text, and are ``<unk>`` there.
    """

    symbols: list[str]
    rows: list[int]
    unwritable: list[str]

    def dictionary(self) -> str:
        """The ``dict.txt``."""
        return dictionary_text(self.symbols)


def marian_vocabulary(pieces: dict[str, int], config: dict[str, Any], size: int, source: str) -> MarianVocabulary:
    """The dictionary of a model with ``size`` rows.

    A row without a piece, or whose piece fairseq's text cannot carry (white space in it, or a name that fairseq has for
    a symbol of its own), keeps its place under the name ``<rowN>``, N being Marian's row.

    Args:
        pieces: ``vocab.json``.
        config: ``config.json``.
        size: rows of the embeddings.
        source: of both, for messages.

    Raises:
        CheckpointError: the special pieces are not where the configuration says, or a piece has no row.
    """
    for piece, option in ((PAD, "pad_token_id"), (EOS, "eos_token_id")):
        if pieces.get(piece) != config.get(option):
            raise CheckpointError(f"{source}: vocab.json has {piece} at {pieces.get(piece)}, not at its {option}")
    if UNK not in pieces:
        raise CheckpointError(f"{source}: vocab.json has no {UNK}")
    outside = [piece for piece, row in pieces.items() if not 0 <= row < size]
    if outside or len(set(pieces.values())) != len(pieces):
        what = f"the piece {outside[0]!r} has no row among {size} embeddings" if outside else "two pieces share a row"
        raise CheckpointError(f"{source}: vocab.json: {what}")
    by_row = {row: piece for piece, row in pieces.items()}
    special = [pieces[PAD], pieces[PAD], pieces[EOS], pieces[UNK]]
    others = [row for row in range(size) if row not in special]
    unwritable = [by_row[row] for row in others if row in by_row and not _writable(by_row[row])]
    kept = {row: piece for row, piece in by_row.items() if piece not in unwritable}
    return MarianVocabulary([kept.get(row, f"<row{row}>") for row in others], [*special, *others], unwritable)


def _writable(piece: str) -> bool:
    return piece not in SPECIAL and piece.split() == [piece]
