"""Where answers go: standard output, or a file that appears whole, with what is needed to go on with it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.runtime.durable import NO_ROOM, write_whole


class SinkError(UserError):
    """Answers cannot be written; the message says what is kept."""


class Stdout:
    """Standard output; a buffer's lines are out when they are written.

    Attributes:
        done: lines whose answers are written.
    """

    done = 0
    finished = False

    def write(self, text: str, lines: int, whole: bool) -> None:
        """Add the answers to so many lines.

        Raises:
            BrokenPipeError: nobody reads any more.
            SinkError: there is no room.
        """
        try:
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()
        except OSError as error:
            _forget_stdout()
            if error.errno not in NO_ROOM:
                raise
            raise SinkError(
                f"standard output: {error.strerror}; {self.kept()}, and perhaps a part of the next"
            ) from None
        self.done += lines

    def finish(self) -> None:
        """All is written."""

    def kept(self) -> str:
        """What a stopped run has, for a message."""
        return f"the answers to {self.done:,} lines are written"


class File:
    """A file, as ``PATH.partial`` until it is whole; ``PATH.partial.json`` tells how far it is.

    Args:
        path: its name.
        made: what it is an answer to; with another one a partial file is begun anew.
        resume: go on with the partial file, if it is of the same.
        keep: leave ``PATH.json`` beside the whole file, which holds ``made``.

    Attributes:
        done: lines whose answers are in it.
        finished: whether there is nothing to do.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: str, made: dict[str, Any], resume: bool, keep: bool = False) -> None:
        self.path, self.partial, self.state, self.keep = path, f"{path}.partial", f"{path}.partial.json", keep
        self.made = json.loads(json.dumps(made))
        self.done = 0
        self.finished = resume and keep and os.path.isfile(path) and made_of(path) == self.made
        if self.finished:
            return
        written = 0
        if resume:
            before = _read(self.state)
            with contextlib.suppress(OSError, KeyError):
                if before["made"] == self.made and os.path.getsize(self.partial) >= before["bytes"]:
                    self.done, written = before["lines"], before["bytes"]
        try:
            # without a buffer, whose rest would be written after an error
            self.file = open(self.partial, "r+b" if self.done else "wb", buffering=0)  # noqa: SIM115
            self.file.truncate(written)
            self.file.seek(written)
            self._tell(written)
        except OSError as error:
            raise self._refused(error) from None

    def write(self, text: str, lines: int, whole: bool) -> None:
        """Add the answers to so many lines.

        Args:
            text: the answers.
            lines: how many.
            whole: whether they are a whole buffer: only after one can another run go on with the same batches.

        Raises:
            SinkError: there is no room; what was there stays.
        """
        try:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[self.file.write(rest) :]
            if whole:
                self._tell(self.file.tell(), self.done + lines)
        except OSError as error:
            raise self._refused(error) from None
        self.done += lines

    def finish(self) -> None:
        """Give the file its name.

        Raises:
            SinkError: there is no room.
        """
        try:
            os.fsync(self.file.fileno())
            self.file.close()
            if self.keep:
                write_whole(f"{self.path}.json", json.dumps({"made": self.made}).encode())
            os.replace(self.partial, self.path)
            os.remove(self.state)
        except OSError as error:
            raise self._refused(error) from None

    def kept(self) -> str:
        """What a stopped run has, for a message."""
        lines = _read(self.state).get("lines", 0)
        return f"the answers to {lines:,} lines are in {self.partial}; the same command with --resume goes on there"

    def _tell(self, size: int, lines: int | None = None) -> None:
        content = {"made": self.made, "lines": self.done if lines is None else lines, "bytes": size}
        write_whole(self.state, json.dumps(content).encode())

    def _refused(self, error: OSError) -> SinkError:
        kept = f"; {self.kept()}" if self.done else ""
        return SinkError(f"{self.path}: cannot be written ({error.strerror}); check folder and free space{kept}")


def made_of(path: str) -> Any:
    """What a whole file is an answer to; None where nothing tells it."""
    return _read(f"{path}.json").get("made")


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _forget_stdout() -> None:
    """What waits to be written goes nowhere: at the interpreter's end it would fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
