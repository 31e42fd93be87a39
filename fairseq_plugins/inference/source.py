"""Lines that come in: of a file, a pipe or the keyboard, one at a time, by the line rules of prepared text."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

from fairseq_plugins.lines import CorpusError, decode_line
from fairseq_plugins.text.reading import check_characters, lines_of, opened


class Source:
    """The lines of a file, plain or gzipped, or of standard input; memory for one of them.

    Args:
        path: of the file; None: standard input.
        repair: put a blank for control and line-separator characters instead of refusing them.

    Attributes:
        name: for messages.
        size: bytes of a file that is not compressed, else None.
        read: bytes read so far.
        keyboard: whether someone types the lines: what cannot be used is then said, and counts as an empty line.
        unended: whether the last line had no end, as if it were cut off.
    """

    def __init__(self, path: str | None, repair: bool = False) -> None:
        self.path, self.repair = path, repair
        self.name = path or "standard input"
        self.keyboard = path is None and sys.stdin.isatty()
        self.size: int | None = None
        self.read = 0
        self.unended = False

    def __iter__(self) -> Iterator[str]:
        """The lines without their ends.

        Raises:
            CorpusError: one cannot be decoded or holds a control character, or the file cannot be read.
        """
        with self._opened() as file:
            if self.keyboard:
                yield from self._typed(file)
            else:
                yield from lines_of(self._counted(file), self.name, self.repair)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if self.path is None:
            yield sys.stdin.buffer
            return
        with opened(self.path) as file:
            if not isinstance(getattr(file, "raw", None), gzip.GzipFile):
                self.size = os.path.getsize(self.path)
            yield file

    def _counted(self, file: BinaryIO) -> Iterator[bytes]:
        for line in file:
            self.read += len(line)
            self.unended = not line.endswith(b"\n")
            yield line

    def _typed(self, file: BinaryIO) -> Iterator[str]:
        for number, line in enumerate(file, 1):
            try:
                text = decode_line(line.removesuffix(b"\n"), self.name, number)
                yield check_characters(text, self.name, number, self.repair)
            except CorpusError as error:
                print(error, file=sys.stderr)
                yield ""
