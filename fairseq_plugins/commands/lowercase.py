"""Text from standard input in lower case on standard output.

Lines end at the line feed alone, and stay as many.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from fairseq_plugins.lines import CorpusError, decoded


def add_arguments(parser: ArgumentParser) -> None:
    """It takes none."""


def run(args: Namespace) -> int:
    try:
        sys.stdout.buffer.writelines(line.lower().encode() for line in decoded(sys.stdin.buffer, "standard input"))
    except CorpusError as error:
        print(f"lowercase: error: {error}", file=sys.stderr)
        return 1
    return 0
