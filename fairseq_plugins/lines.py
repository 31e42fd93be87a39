"""Lines of text as ``wc -l`` counts them: ``\\n`` ends a line and nothing else does; a last one may go without.

Python's text files also end lines at a carriage return, and ``str.splitlines``, ``codecs`` and ``fileinput`` at U+0085,
U+2028, form feeds and others. Read so, one side of a corpus is shifted against the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Union

from fairseq_plugins.errors import UserError

PathLike = Union[str, "os.PathLike[str]"]


class CorpusError(UserError):
    """A corpus file that cannot be used: one sentence with file, line and remedy."""


def decode_line(line: bytes, path: PathLike, number: int, encoding: str = "utf-8") -> str:
    """The text of a line.

    Raises:
        CorpusError: at the first byte that cannot be decoded; ``path`` and ``number``, from 1, are for the message.
    """
    try:
        return line.decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}:{number}: byte 0x{line[error.start]:02x} at column {error.start + 1} is not {encoding.upper()}; "
            "fetch the file again or convert it with iconv"
        ) from None


def decoded(lines: Iterable[bytes], path: PathLike, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a binary file, their ends kept; ``path`` and CorpusError as in :func:`decode_line`."""
    for number, line in enumerate(lines, 1):
        yield decode_line(line, path, number, encoding)


def read_lines(path: PathLike) -> Iterator[str]:
    """The lines of a UTF-8 file without their ends.

    Raises:
        CorpusError: the file cannot be read, or a line of it not be decoded.
    """
    try:
        with open(path, "rb") as file:
            for line in decoded(file, path):
                yield line.removesuffix("\n")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the name and its permissions") from None


def check(path: PathLike, encoding: str = "utf-8") -> None:
    """Read a file to its end.

    Raises:
        CorpusError: a line cannot be decoded.
    """
    with open(path, "rb") as file:
        for _ in decoded(file, path, encoding):
            pass
