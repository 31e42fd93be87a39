"""A table of finished runs: parameters, BLEU, chrF, deviation over seeds, significance against a baseline.

Each RUN is a folder of scripts/train.sh with a translation (scripts/generate.sh) and a score (scripts/score.sh).
Folders whose names differ only in "-seedN" are one row. The table is Markdown; significance is sacreBLEU's paired
bootstrap, seed by seed.

    fairseq-plugins compare runs/multi30k-de-en/*-seed* --json table.json --plot validation.png
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import sys
from typing import Any, Dict, List

from fairseq_plugins import results
from fairseq_plugins.corpus import write_whole
from fairseq_plugins.results import Run, mean_deviation
from fairseq_plugins.validation_plot import plot_validation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--baseline", metavar="NAME", help="row to test against (default: 'baseline', or the first)")
    parser.add_argument("--subset", default="test", help="which translation of the run (default: test)")
    parser.add_argument("--reference", metavar="FILE", help="the reference, if it is no longer where it was scored")
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples (default: 1000)")
    parser.add_argument("--json", metavar="FILE", help="write everything, with the validation curves")
    parser.add_argument("--csv", metavar="FILE", help="write one line a run")
    parser.add_argument("--plot", metavar="FILE", help="draw the validation loss (needs matplotlib)")


def run(args: argparse.Namespace) -> int:
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    try:
        report = compare([results.load_run(folder, args.subset, args.reference) for folder in args.runs], args)
    except ValueError as error:
        print(f"compare: error: {error}", file=sys.stderr)
        return 1
    print(markdown(report))
    try:
        if args.json:
            write_whole(args.json, f"{json.dumps(report, indent=2)}\n".encode())
        if args.csv:
            write_whole(args.csv, as_csv(report).encode())
        if args.plot:
            plot_validation(report["rows"], args.plot, "bits a token, label-smoothed")
    except ValueError as error:
        print(f"compare: error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"compare: {error}", file=sys.stderr)
    return 0


def compare(runs: List[Run], args: argparse.Namespace) -> Dict[str, Any]:
    """Everything the table says, as plain data."""
    groups = results.grouped(runs)
    signatures = results.score(runs)
    baseline = args.baseline or ("baseline" if "baseline" in groups else next(iter(groups)))
    if baseline not in groups:
        raise ValueError(f"--baseline {baseline}: choose from {', '.join(groups)}")
    others = {name: members for name, members in groups.items() if name != baseline}
    tests, test_signatures = results.paired_bootstrap(groups[baseline], others, args.samples)

    rows = []
    for name in [baseline, *others]:
        members = groups[name]
        sizes = sorted({member.parameters for member in members})
        if len(sizes) > 1:
            raise ValueError(f"the runs of '{name}' differ in size ({', '.join(map(str, sizes))} parameters)")
        scores = {}
        for metric in signatures:
            mean, deviation = mean_deviation([member.scores[metric] for member in members])
            scores[metric] = {
                "mean": mean,
                "deviation": deviation,
                "against_baseline": [vars(test) for test in tests.get(name, {}).get(metric, [])],
            }
        rows.append(
            {
                "name": name,
                "arch": members[0].arch,
                "parameters": sizes[0],
                "seeds": [member.seed for member in members],
                "scores": scores,
                "runs": [
                    {
                        "folder": member.folder,
                        "seed": member.seed,
                        "scores": member.scores,
                        "updates": member.updates,
                        "seconds": member.seconds,
                        "validation": member.curve,
                    }
                    for member in members
                ],
            }
        )
    return {
        "baseline": baseline,
        "sentences": len(runs[0].references),
        "rows": rows,
        "signatures": signatures,
        "test_signatures": test_signatures,
    }


def markdown(report: Dict[str, Any]) -> str:
    """The table with its signatures."""
    metrics = list(report["signatures"])
    header = ["model", "parameters", "seeds", *metrics]
    header += [f"{metric} against {report['baseline']} (p)" for metric in metrics]
    header += ["best validation loss", "updates", "training time"]
    lines = [header, ["---"] * len(header)]
    for row in report["rows"]:
        cells = [row["name"], f"{row['parameters']:,}", ", ".join(map(str, row["seeds"]))]
        cells += [_spread(row["scores"][metric]["mean"], row["scores"][metric]["deviation"]) for metric in metrics]
        for metric in metrics:
            tests = row["scores"][metric]["against_baseline"]
            cells.append("; ".join(f"{test['difference']:+.2f} ({test['p_value']:.3f})" for test in tests) or "-")
        losses = [min(loss for _, loss in run["validation"]) for run in row["runs"] if run["validation"]]
        cells.append(_spread(*mean_deviation(losses), digits=3) if losses else "-")
        cells.append(", ".join(str(updates) for updates in sorted({run["updates"] for run in row["runs"]})))
        cells.append(_minutes(mean_deviation([run["seconds"] for run in row["runs"]])[0]))
        lines.append(cells)
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    notes = [f"{report['sentences']} sentences; ± is the sample standard deviation over the seeds."]
    notes += [f"{metric}: `{signature}`" for metric, signature in report["signatures"].items()]
    if report["test_signatures"]:
        notes.append(
            f"Differences are paired by seed, in the order of the seeds; p by paired bootstrap: "
            f"`{report['test_signatures'][metrics[0]]}`"
        )
    return text + "\n\n" + "\n".join(f"- {note}" for note in notes)


def as_csv(report: Dict[str, Any]) -> str:
    """One line a run."""
    metrics = list(report["signatures"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "arch", "parameters", "seed", *metrics, "updates", "seconds", "folder"])
    for row in report["rows"]:
        for run in row["runs"]:
            scores = [f"{run['scores'][metric]:.4f}" for metric in metrics]
            start = [row["name"], row["arch"], row["parameters"], run["seed"]]
            writer.writerow([*start, *scores, run["updates"], run["seconds"], run["folder"]])
    return text.getvalue()


def _spread(mean: float, deviation: Any, digits: int = 2) -> str:
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def _minutes(seconds: float) -> str:
    return "-" if seconds != seconds else f"{seconds / 60:.1f} min"
