"""How far a run is, in one line on standard error."""

from __future__ import annotations

import sys
import time

from .source import Source

#: seconds between two lines: rewritten on a terminal, one below the other in a log
ON_TERMINAL, IN_LOG = 1.0, 30.0


class Progress:
    """A line that says how many lines are answered, how fast, and when the last one of a file will be."""

    def __init__(self, command: str, source: Source, shown: bool) -> None:
        self.command, self.source, self.shown = command, source, shown
        self.terminal = sys.stderr.isatty()
        self.begun = self.last = time.monotonic()
        #: when the first buffer was answered, and how far the file was read then: another run may have begun it
        self.first: tuple[float, int] | None = None

    def show(self, lines: int) -> None:
        """Say it, if it was not said just now; ``lines`` are those of this run."""
        now, read, size = time.monotonic(), self.source.read, self.source.size
        self.first = self.first or (now, read)
        if not self.shown or now - self.last < (ON_TERMINAL if self.terminal else IN_LOG):
            return
        self.last = now
        text = f"{self.command}: {lines:,} lines, {lines / (now - self.begun):.1f} a second"
        if size and read > self.first[1]:
            seconds = int((size - read) * (now - self.first[0]) / (read - self.first[1]))
            text += f" ({read / size:.0%}), about {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
        if self.terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the line to others."""
        if self.terminal and self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
