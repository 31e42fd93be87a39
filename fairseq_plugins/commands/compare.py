"""A table of finished runs: parameters, BLEU, chrF, deviation over seeds, significance against a baseline.

Each RUN is a folder of scripts/train.sh with a translation (scripts/generate.sh) and a score (scripts/score.sh).
Folders whose names differ only in "-seedN" are one row. The table is Markdown; significance is sacreBLEU's paired
bootstrap, seed by seed.

    fairseq-plugins compare runs/multi30k-de-en/*-seed* --json table.json --plot validation.png
"""

from __future__ import annotations

import argparse
import logging

from fairseq_plugins.report.outputs import add_output_arguments, write_outputs
from fairseq_plugins.report.plots import plot_validation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--baseline", metavar="NAME", help="row to test against (default: 'baseline', or the first)")
    parser.add_argument("--subset", default="test", help="which translation of the run (default: test)")
    parser.add_argument("--reference", metavar="FILE", help="the reference, if it is no longer where it was scored")
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples (default: 1000)")
    add_output_arguments(parser, "with the validation curves", "run", "validation loss")


def run(args: argparse.Namespace) -> int:
    from fairseq_plugins.report import compare
    from fairseq_plugins.report.translations import read_translation

    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    runs = [read_translation(folder, args.subset, args.reference) for folder in args.runs]
    report = compare.summarise(runs, args.baseline, args.samples)
    print(compare.markdown(report))
    write_outputs(
        args,
        report,
        lambda: compare.as_csv(report),
        lambda path: plot_validation(report["rows"], path, "bits a token, label-smoothed"),
    )
    return 0
