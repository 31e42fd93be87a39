"""A table of finished language-model runs: parameters, perplexity, and validation losses against updates.

Each RUN is a folder of scripts/train.sh. Folders whose names differ only in "-seedN" are one row. Losses are in nats,
perplexity is exp(loss); fairseq's own log counts in bits. Losses compare only between models of one dictionary.

examples:
  fairseq-plugins compare-losses runs/wikitext-2/*-seed* --csv table.csv --plot validation.png
  fairseq-plugins compare-losses runs/wikitext-103-base/*-seed* --at 10000,50000,200000 --below 5,2.5
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from fairseq_plugins.errors import UserError
from fairseq_plugins.report import losses
from fairseq_plugins.report.outputs import add_output_arguments, write_outputs
from fairseq_plugins.report.plots import plot_validation
from fairseq_plugins.report.runs import grouped, read_run, validated

Number = TypeVar("Number", int, float)
#: updates to show where none are asked for
SHOWN = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--at", metavar="N,N,...", help=f"updates to show (default: {SHOWN} that all runs validated at)"
    )
    parser.add_argument(
        "--below", metavar="LOSS,LOSS,...", help="also show the first update with a loss below each, seed by seed"
    )
    add_output_arguments(parser, "with the validation curves", "validation", "validation loss")


def run(args: argparse.Namespace) -> int:
    """Read the runs, print the table, write the files."""
    groups = grouped([validated(read_run(folder)) for folder in args.runs])
    below = _numbers("--below", args.below, float, "losses", "6,5.5") if args.below else []
    rows = [losses.summary(name, members, below) for name, members in groups.items()]
    rows.sort(key=lambda row: row["name"] != "baseline")
    shown = losses.common_updates(rows, SHOWN)
    if args.at:
        shown = _numbers("--at", args.at, int, "updates", "1000,2000")
    print(losses.markdown(rows, shown, below))
    write_outputs(args, rows, lambda: losses.as_csv(rows), lambda path: plot_validation(rows, path, "nats a token"))
    return 0


def _numbers(option: str, text: str, kind: Callable[[str], Number], what: str, example: str) -> list[Number]:
    try:
        return [kind(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"{option} {text}: give {what} separated by commas, such as {example}") from None
