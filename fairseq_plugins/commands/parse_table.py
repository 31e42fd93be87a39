"""A table of trained parsers: F1, precision, recall and complete match over the seeds, and how much was repaired.

Each RUN is a folder of examples/attention_is_all_you_need/parsing.sh. Folders whose names differ only in "-seedN" are
one row. The table is a study's, in Markdown: differences to a baseline are tested over seeds and sentences together.

    fairseq-plugins parse-table runs/parsing-sample/*-seed* --json table.json --csv table.csv --plot validation.png
    fairseq-plugins parse-table runs/parsing-sample/*-seed* --page page
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fairseq_plugins.report.outputs import add_output_arguments, show
from fairseq_plugins.report.plots import plot_validation


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    add_output_arguments(parser, "run and metric", "validation loss")


def run(args: Namespace) -> int:
    from fairseq_plugins.parsing.table import read_parsers
    from fairseq_plugins.report.members import comparison

    members, notes = read_parsers(args.runs, args.baseline)
    results = comparison(members, "parsing", "F1", "test", notes)
    show(
        args,
        results,
        members,
        lambda path: plot_validation(results["variants"], path, "nats a token, label-smoothed"),
    )
    return 0
