"""Print the newest checkpoint of a folder that is complete and can be read.

The newest is the one with the most updates; checkpoint_last.pt wins a tie. Files that are truncated, damaged or
refused are named on standard error; standard output holds the path alone. Exit status 1: there is none.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="fairseq's --save-dir")
    parser.add_argument(
        "--name",
        default="checkpoint_last.pt",
        help="file preferred among equally new ones (default: %(default)s)",
    )


def run(args: Namespace) -> int:
    from fairseq_plugins.checkpoints.newest import latest_checkpoint

    def report(sentence: str) -> None:
        print(f"latest-checkpoint: {sentence}", file=sys.stderr)

    print(latest_checkpoint(args.folder, args.name, report))
    return 0
