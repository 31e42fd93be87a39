"""The files that a table command may write besides the table that it prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from fairseq_plugins.runtime.durable import write_whole


def add_output_arguments(parser: argparse.ArgumentParser, everything: str, lines: str, picture: str) -> None:
    """Declare ``--json``, ``--csv`` and ``--plot``; the texts say what each holds."""
    parser.add_argument("--json", metavar="FILE", help=f"write everything, {everything}")
    parser.add_argument("--csv", metavar="FILE", help=f"write one line a {lines}")
    parser.add_argument("--plot", metavar="FILE", help=f"draw the {picture} (needs matplotlib)")


def write_outputs(
    args: argparse.Namespace, content: Any, as_csv: Callable[[], str], plot: Callable[[str], None]
) -> None:
    """Write the files that were asked for; a plot without matplotlib is a remark and no failure."""
    if args.json:
        write_whole(args.json, f"{json.dumps(content, indent=2)}\n".encode())
    if args.csv:
        write_whole(args.csv, as_csv().encode())
    if args.plot:
        try:
            plot(args.plot)
        except ModuleNotFoundError as error:
            print(error, file=sys.stderr)
