"""A table of trained parsers: parameters, F1, precision, recall, complete match, and how many sentences were repaired.

Each RUN is a folder of examples/attention_is_all_you_need/parsing.sh. Folders whose names differ only in "-seedN" are
one row, with mean and deviation over the seeds. The table is Markdown.

    fairseq-plugins parse-table runs/parsing-sample/*-seed* --json table.json --csv table.csv --plot validation.png
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fairseq_plugins.report.outputs import add_output_arguments, write_outputs


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    add_output_arguments(parser, "with the validation curves", "run", "validation loss")


def run(args: Namespace) -> int:
    from fairseq_plugins.parsing import table
    from fairseq_plugins.report.plots import plot_validation

    summary = table.summarise([table.load_parser(folder) for folder in args.runs])
    print(table.markdown(summary))
    write_outputs(
        args,
        summary,
        lambda: table.as_csv(summary),
        lambda path: plot_validation(summary["rows"], path, "nats a token, label-smoothed"),
    )
    return 0
