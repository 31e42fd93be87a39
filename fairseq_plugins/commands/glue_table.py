"""A table of models fine-tuned on GLUE: mean, deviation and median over the seeds, and the average over the tasks.

Each FOLDER holds the runs of one model, as examples/symmetric_attention/glue.sh leaves them, and is a row, named as the
folder or by NAME=FOLDER. The average is over the papers' nine columns only where all are there. The table is Markdown.

    fairseq-plugins glue-table runs/glue/*/ --json glue.json --csv glue.csv --plot glue.png
    fairseq-plugins glue-table vanilla=runs/glue/roberta_baseline pairwise=runs/glue/roberta_pairwise
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fairseq_plugins.report.outputs import add_output_arguments, write_outputs


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="[NAME=]FOLDER", help="folder with the runs of a model")
    add_output_arguments(parser, "each run's metrics too", "run and development set", "scores")


def run(args: Namespace) -> int:
    from fairseq_plugins.glue import table

    models = []
    for text in args.models:
        name, equals, folder = text.partition("=")
        named = equals and not Path(text).is_dir()
        models.append(table.load_model(folder, name) if named else table.load_model(text))
    summary = table.summarise(models)
    print(table.markdown(summary))
    write_outputs(args, summary, lambda: table.as_csv(summary), lambda path: table.plot(summary, path))
    return 0
