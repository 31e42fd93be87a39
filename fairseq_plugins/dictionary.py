"""The one reader of ``dict.txt``: a symbol and its count a line, as ``fairseq-preprocess`` writes them."""

from __future__ import annotations

from typing import Any, NamedTuple

from .lines import CorpusError, PathLike, read_lines

OVERWRITE = "#fairseq:overwrite"


class Entry(NamedTuple):
    """A line; ``overwrite`` is fairseq's flag for a symbol that stands there twice."""

    symbol: str
    occurrences: int
    overwrite: bool


def read_entries(path: PathLike) -> list[Entry]:
    """The lines of a dictionary, which hold none of fairseq's special symbols.

    Raises:
        CorpusError: it cannot be read, or a line is no symbol and count.
    """
    found = []
    for number, line in enumerate(read_lines(path), 1):
        text = line.rstrip()
        overwrite = text.endswith(f" {OVERWRITE}")
        symbol, blank, count = (text[: -len(OVERWRITE) - 1] if overwrite else text).rpartition(" ")
        if not blank or not count.isdecimal():
            raise CorpusError(f"{path}:{number}: not a symbol and its count; give the dict.txt of the training")
        found.append(Entry(symbol, int(count), overwrite))
    return found


def load_dictionary(path: PathLike) -> Any:
    """fairseq's ``Dictionary`` in a file.

    Raises:
        CorpusError: it cannot be read, a line is no symbol and count, or a symbol stands there twice.
    """
    from fairseq.data import Dictionary

    made = Dictionary()
    for number, (symbol, count, overwrite) in enumerate(read_entries(path), 1):
        if symbol in made and not overwrite:
            raise CorpusError(f"{path}:{number}: the symbol {symbol} for the second time; remove one of its lines")
        made.add_symbol(symbol, n=count, overwrite=overwrite)
    return made
