"""Lines of text: what ends them, with one process and with several."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from multiprocessing import Pool
from types import ModuleType
from typing import Any

from fairseq_plugins.lines import check, decoded

from .registry import mark, marked, repair, see

#: modules whose text is a line for each sentence, symbol, label or word
_READERS = ("data.dictionary", "data.indexed_dataset", "tasks.sentence_prediction", "tasks.sentence_ranking", "utils")


@repair("none known")
def lines_of_text() -> bool:
    """fairseq opens text with universal newlines: a carriage return inside a line makes two of it, and one side of a
    corpus is shifted against the other from there on.

    Lines are what :mod:`fairseq_plugins.lines` says. Bytes that cannot be decoded are named by file and line.
    """
    from fairseq import binarizer, file_chunker_utils
    from fairseq.data import dictionary

    for name in _READERS:
        importlib.import_module(f"fairseq.{name}").open = open_text  # type: ignore[attr-defined]
    original = file_chunker_utils.find_offsets
    if marked(original):
        return True
    if not _universal_newlines(file_chunker_utils):
        return False
    for module in (file_chunker_utils, binarizer, dictionary):
        module.find_offsets = mark(find_offsets, original)
    # Workers that are not forked import this package, and so its repairs, with the initializer.
    binarizer.Pool = dictionary.Pool = _pool
    chunker, iterator = file_chunker_utils.Chunker, file_chunker_utils.ChunkLineIterator
    chunker.__enter__ = mark(_open_chunk, chunker.__enter__)
    iterator.__iter__ = mark(_lines_of_chunk(iterator.__iter__), iterator.__iter__)
    return True


def repair_program(program: ModuleType) -> None:
    """The same for what a program of fairseq reads itself."""
    if hasattr(program, "buffered_read"):
        see(program, "fileinput", input=_lines_of_input)
    if hasattr(program, "_align_files"):
        program.open = open_text  # type: ignore[attr-defined]


class Text(io.TextIOWrapper):
    """A text file whose lines end at the line feed; an error of decoding names file and line."""

    def __init__(self, file: Any, mode: str, encoding: Any, errors: Any):
        super().__init__(file, encoding, errors, newline="\n")
        self.mode = mode  # type: ignore[misc]

    def __next__(self) -> str:  # type: ignore[override]
        return self._checked(super().__next__)

    def readline(self, *size: Any) -> str:  # type: ignore[override]
        return self._checked(super().readline, *size)

    def read(self, *size: Any) -> str:
        return self._checked(super().read, *size)

    def _checked(self, read: Any, *size: Any) -> str:
        try:
            return read(*size)
        except UnicodeDecodeError:
            if isinstance(self.name, str):
                check(self.name, self.encoding)
            raise


def open_text(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: Any = None,
    errors: Any = None,
    newline: Any = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """``open``, but for text that is read without a word about its line ends."""
    if sorted(mode.replace("t", "")) != ["r"] or newline is not None or buffering == 0:
        return builtins.open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    size = -1 if buffering == 1 else buffering  # by lines: nothing is written
    return Text(builtins.open(file, "rb", size, closefd=closefd, opener=opener), mode, encoding, errors)


def find_offsets(filename: str, num_chunks: int) -> list[int]:
    """Where ``num_chunks`` pieces of a file begin and end: at line ends near equal sizes."""
    with open(filename, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        piece, offsets = size // num_chunks, [0] * (num_chunks + 1)
        for number in range(1, num_chunks):
            file.seek(piece * number)
            file.readline()
            offsets[number] = file.tell()
        offsets[-1] = size
        return offsets


class _Chunk(io.BufferedReader):
    """A file that was opened here."""


def _open_chunk(self: Any) -> Any:
    from fairseq.file_chunker_utils import ChunkLineIterator

    self.fd = _Chunk(open(self.path, "rb", buffering=0))  # noqa: SIM115  __exit__ closes it
    return ChunkLineIterator(self.fd, self.start_offset, self.end_offset)


def _lines_of_chunk(original: Any) -> Any:
    def lines_of_chunk(self: Any) -> Iterator[str]:
        if not isinstance(self._fd, _Chunk):  # opened by somebody else
            yield from original(self)
            return
        self._fd.seek(self._start_offset)
        position = self._start_offset
        for line in self._fd:
            position += len(line)
            if 0 < self._end_offset < position:
                break
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                check(self._fd.name)  # counts from the start of the file
                raise

    return lines_of_chunk


@contextlib.contextmanager
def _lines_of_input(files: list[str], **_: Any) -> Iterator[Iterator[str]]:
    """``fileinput.input`` of one UTF-8 file, or of standard input, which may be a terminal, in its own encoding."""
    (path,) = files
    if path == "-":
        buffer = getattr(sys.stdin, "buffer", None)
        yield iter(sys.stdin) if buffer is None else decoded(buffer, "standard input", sys.stdin.encoding)
    else:
        with open(path, "rb") as file:
            yield decoded(file, path)


@contextlib.contextmanager
def checked(args: Any) -> Iterator[None]:
    """Around ``fairseq-preprocess``: all text can be read, before anything is written.

    Raises:
        CorpusError: at the first byte that is not UTF-8.
    """
    prefixes = [prefix for name in ("trainpref", "validpref", "testpref") for prefix in _listed(args, name)]
    suffixes = [f".{args.source_lang}" if args.source_lang else ""]
    suffixes += [f".{name}" for name in (not args.only_source and args.target_lang, args.align_suffix) if name]
    for path in [prefix + suffix for prefix in prefixes for suffix in suffixes]:
        if os.path.isfile(path):  # what is missing, fairseq says
            check(path)
    yield


def _listed(args: Any, name: str) -> list[str]:
    value = getattr(args, name, None) or ""
    return [value] if name == "trainpref" else value.split(",")


def _universal_newlines(module: Any) -> bool:
    """Whether a module's ``Chunker`` opens text and leaves it to Python what ends a line."""
    asked: list[Any] = []

    def record(path: str, mode: str = "r", **options: Any) -> Any:
        asked.append("b" not in mode and options.get("newline") is None)
        return io.StringIO()

    module.open = record
    try:
        module.Chunker("", 0, 0).__enter__()
    finally:
        del module.open
    return any(asked)


def _pool(processes: Any = None, initializer: Any = None, initargs: Any = (), maxtasksperchild: Any = None) -> Any:
    """``multiprocessing.Pool``, whose workers import this module."""
    return Pool(processes, _start, (initializer, *initargs), maxtasksperchild)


def _start(initializer: Any, *arguments: Any) -> None:
    if initializer is not None:
        initializer(*arguments)
