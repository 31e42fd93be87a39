"""A table of finished runs: BLEU and chrF over the seeds, and whether the models differ from a baseline.

Each RUN is a folder of scripts/train.sh with a translation (scripts/generate.sh) and a score (scripts/score.sh).
Folders whose names differ only in "-seedN" are one row. The table is a study's, in Markdown: differences are tested
over seeds and sentences together, which takes two seeds of each model at least. With --samples, the paired bootstrap of
sacreBLEU stands in a note besides, for a pair of runs at a time.

    fairseq-plugins compare runs/multi30k-de-en/*-seed* --json table.json --plot validation.png
    fairseq-plugins compare runs/multi30k-de-en/*-seed* --page page
"""

from __future__ import annotations

import argparse
import logging

from fairseq_plugins.report.outputs import add_output_arguments, show
from fairseq_plugins.report.plots import plot_validation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--subset", default="test", help="which translation of the run (default: test)")
    parser.add_argument("--reference", metavar="FILE", help="the reference, if it is no longer where it was scored")
    parser.add_argument(
        "--samples", type=int, metavar="N", help="paired bootstrap with N samples, seed by seed, besides"
    )
    add_output_arguments(parser, "run and metric", "validation loss")


def run(args: argparse.Namespace) -> int:
    from fairseq_plugins.report.members import by_variant, comparison, data_of, translation_member
    from fairseq_plugins.report.significance import as_data, as_notes, paired_bootstrap
    from fairseq_plugins.report.translations import check_comparable, metrics_of, read_translation
    from fairseq_plugins.study.analysis import of_translations

    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    runs = [read_translation(folder, args.subset, args.reference) for folder in args.runs]
    check_comparable(runs)
    metrics = metrics_of(runs[0])
    members = by_variant([translation_member(run, metrics) for run in runs], args.baseline)
    notes, more = [], {}
    if args.samples:
        baseline, *others = members
        of_seed = {
            name: [run for run in sorted(runs, key=lambda run: run.seed) if run.name == name] for name in members
        }
        found = paired_bootstrap(of_seed[baseline], {name: of_seed[name] for name in others}, args.samples)
        notes, more = as_notes(baseline, *found), {"paired_bootstrap": as_data(*found)}
    results = {**comparison(members, "translation", "BLEU", args.subset, notes), **more}
    if args.page:
        results["analysis"] = of_translations(members, results["baseline"], data_of(members), args.subset)
    show(
        args,
        results,
        members,
        lambda path: plot_validation(results["variants"], path, "nats a token, label-smoothed"),
    )
    return 0
