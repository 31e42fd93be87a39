"""A table of trained parsers: parameters, F1, precision, recall, complete match, and how many sentences were repaired.

Each RUN is a folder of examples/attention_is_all_you_need/parsing.sh. Folders whose names differ only in "-seedN" are
one row, with mean and deviation over the seeds. The table is Markdown.

    fairseq-plugins parse-table runs/parsing-sample/*-seed* --json table.json --csv table.csv --plot validation.png
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace

from fairseq_plugins.corpus import write_whole


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--json", metavar="FILE", help="write everything, with the validation curves")
    parser.add_argument("--csv", metavar="FILE", help="write one line a run")
    parser.add_argument("--plot", metavar="FILE", help="draw the validation loss (needs matplotlib)")


def run(args: Namespace) -> int:
    from fairseq_plugins.parsing import table
    from fairseq_plugins.validation_plot import plot_validation

    try:
        summary = table.summarise([table.load_parser(folder) for folder in args.runs])
        print(table.markdown(summary))
        if args.json:
            write_whole(args.json, f"{json.dumps(summary, indent=2)}\n".encode())
        if args.csv:
            write_whole(args.csv, table.as_csv(summary).encode())
        if args.plot:
            plot_validation(summary["rows"], args.plot, "nats a token, label-smoothed")
    except ValueError as error:
        print(f"parse-table: error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"parse-table: {error}", file=sys.stderr)
    return 0
