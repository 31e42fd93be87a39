"""Text from standard input in lower case on standard output.

Lines end at the line feed alone, and stay as many.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from fairseq_plugins.lines import decoded


def add_arguments(parser: ArgumentParser) -> None:
    """It takes none."""


def run(args: Namespace) -> int:
    sys.stdout.buffer.writelines(line.lower().encode() for line in decoded(sys.stdin.buffer, "standard input"))
    return 0
