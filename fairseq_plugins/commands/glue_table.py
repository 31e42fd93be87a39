"""A table of models fine-tuned on GLUE: mean, deviation and median over the seeds, and the average over the tasks.

Each FOLDER holds the runs of one model, as examples/symmetric_attention/glue.sh leaves them, and is a row, named as the
folder or by NAME=FOLDER. The average is over the papers' nine columns only where all are there. The table is Markdown.

    fairseq-plugins glue-table runs/glue/*/ --json glue.json --csv glue.csv --plot glue.png
    fairseq-plugins glue-table vanilla=runs/glue/roberta_baseline pairwise=runs/glue/roberta_pairwise
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from fairseq_plugins.corpus import write_whole


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="[NAME=]FOLDER", help="folder with the runs of a model")
    parser.add_argument("--json", metavar="FILE", help="write everything, each run's metrics too")
    parser.add_argument("--csv", metavar="FILE", help="write one line a run and development set")
    parser.add_argument("--plot", metavar="FILE", help="draw the scores (needs matplotlib)")


def run(args: Namespace) -> int:
    from fairseq_plugins.glue import table

    try:
        models = []
        for text in args.models:
            name, equals, folder = text.partition("=")
            named = equals and not Path(text).is_dir()
            models.append(table.load_model(folder, name) if named else table.load_model(text))
        summary = table.summarise(models)
        print(table.markdown(summary))
        if args.json:
            write_whole(args.json, (json.dumps(summary, indent=1) + "\n").encode("utf-8"))
        if args.csv:
            write_whole(args.csv, table.write_csv(summary).encode("utf-8"))
        if args.plot:
            _plot(summary, args.plot)
    except ValueError as error:
        print(f"glue-table: error: {error}", file=sys.stderr)
        return 1
    return 0


def _plot(summary: dict, path: str) -> None:
    from fairseq_plugins.glue import table

    try:
        write_whole(path, table.plot(summary, Path(path).suffix.lstrip(".") or "png"))
    except ModuleNotFoundError:
        print("glue-table: no plot: matplotlib is not installed (pip install matplotlib)", file=sys.stderr)
