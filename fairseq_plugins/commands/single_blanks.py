"""Text from standard input with one blank between words and none around them, on standard output.

White space of any kind separates words, as it does for fairseq. Lines end at the line feed alone, and stay as many.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from fairseq_plugins.lines import decoded


def add_arguments(parser: ArgumentParser) -> None:
    """It takes none."""


def run(args: Namespace) -> int:
    lines = decoded(sys.stdin.buffer, "standard input")
    sys.stdout.buffer.writelines(f"{' '.join(line.split())}\n".encode() for line in lines)
    return 0
