"""A table of models fine-tuned on GLUE: the average and every development set, over the seeds.

Each FOLDER holds the runs of one model, as examples/symmetric_attention/glue.sh leaves them, and is a row, named as the
folder or by NAME=FOLDER. The average is over the papers' nine columns only where all are there. The table is a study's,
in Markdown: differences to a baseline are tested over seeds and examples together.

    fairseq-plugins glue-table runs/glue/*/ --json glue.json --csv glue.csv --plot glue.png
    fairseq-plugins glue-table vanilla=runs/glue/roberta_baseline pairwise=runs/glue/roberta_pairwise --page page
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fairseq_plugins.report.outputs import add_output_arguments, show


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="[NAME=]FOLDER", help="folder with the runs of a model")
    add_output_arguments(parser, "seed and development set", "scores")


def run(args: Namespace) -> int:
    from fairseq_plugins.glue import table
    from fairseq_plugins.report.members import comparison

    models = []
    for text in args.models:
        name, equals, folder = text.partition("=")
        named = equals and not Path(text).is_dir()
        models.append(table.load_model(folder, name) if named else table.load_model(text))
    members, notes = table.members_of(models, args.baseline)
    primary = next(name for runs in members.values() for member in runs for name in member.units)
    results = comparison(members, "glue", primary, "development sets", notes)
    show(args, results, members, lambda path: table.plot(results, path))
    return 0
