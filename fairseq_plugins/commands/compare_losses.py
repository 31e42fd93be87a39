"""A table of finished language-model runs: parameters, perplexity, and validation losses against updates.

Each RUN is a folder of scripts/train.sh. Folders whose names differ only in "-seedN" are one row. Losses are in nats,
perplexity is exp(loss); fairseq's own log counts in bits. Losses compare only between models of one dictionary.

examples:
  fairseq-plugins compare-losses runs/wikitext-2/*-seed* --csv table.csv --plot validation.png
  fairseq-plugins compare-losses runs/wikitext-103-base/*-seed* --at 10000,50000,200000 --below 5,2.5
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

from fairseq_plugins import losses
from fairseq_plugins.corpus import write_whole
from fairseq_plugins.results import grouped, mean_deviation
from fairseq_plugins.validation_plot import plot_validation

Rows = List[Dict[str, Any]]
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
    parser.add_argument("--json", metavar="FILE", help="write everything, with the validation curves")
    parser.add_argument("--csv", metavar="FILE", help="write one line a validation")
    parser.add_argument("--plot", metavar="FILE", help="draw the validation loss (needs matplotlib)")


def run(args: argparse.Namespace) -> int:
    """Read the runs, print the table, write the files."""
    try:
        groups = grouped([losses.load_run(folder) for folder in args.runs])
        below = _numbers("--below", args.below, float, "losses", "6,5.5") if args.below else []
        rows = [losses.summary(name, members, below) for name, members in groups.items()]
        rows.sort(key=lambda row: row["name"] != "baseline")
        shown = losses.common_updates(rows, SHOWN)
        if args.at:
            shown = _numbers("--at", args.at, int, "updates", "1000,2000")
        print(markdown(rows, shown, below))
        if args.json:
            write_whole(args.json, f"{json.dumps(rows, indent=2)}\n".encode())
        if args.csv:
            write_whole(args.csv, as_csv(rows).encode())
        if args.plot:
            plot_validation(rows, args.plot, "nats a token")
    except ValueError as error:
        print(f"compare-losses: error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"compare-losses: {error}", file=sys.stderr)
    return 0


def markdown(rows: Rows, shown: Sequence[int], below: Sequence[float]) -> str:
    """The table; a dash where a run has no such value."""
    header = ["model", "parameters", "seeds", "best loss", "perplexity"]
    header += [f"loss at {updates}" for updates in shown]
    header += [f"first update below {loss:g}" for loss in below]
    lines = [[*header, "updates", "training time"], ["---"] * (len(header) + 2)]
    for row in rows:
        curves = [dict(run["validation"]) for run in row["runs"]]
        cells = [row["name"], f"{row['parameters']:,}", ", ".join(str(run["seed"]) for run in row["runs"])]
        cells += [_spread(row["best_loss"], 3), _spread(row["perplexity"], 2)]
        cells += [_mean([curve.get(updates) for curve in curves], 3) for updates in shown]
        cells += [", ".join(str(run["first_below"][loss] or "-") for run in row["runs"]) for loss in below]
        cells.append(", ".join(map(str, sorted({run["updates"] for run in row["runs"]}))))
        cells.append(_mean([run["seconds"] / 60 for run in row["runs"]], 1, " min"))
        lines.append(cells)
    notes = [
        "Validation losses in nats a token; perplexity = exp(loss); ± is the sample standard deviation over seeds."
    ]
    if below:
        notes.append("First updates are those of a validation, in the order of the seeds; - is never.")
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n\n" + "\n".join(f"- {n}" for n in notes)


def as_csv(rows: Rows) -> str:
    """One line a validation."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "arch", "parameters", "seed", "updates", "loss", "perplexity", "folder"])
    for row in rows:
        for run in row["runs"]:
            for updates, loss in run["validation"]:
                start = [row["name"], row["arch"], row["parameters"], run["seed"], updates]
                writer.writerow([*start, f"{loss:.4f}", f"{math.exp(loss):.4f}", run["folder"]])
    return text.getvalue()


def _numbers(option: str, text: str, kind: Callable[[str], Number], what: str, example: str) -> List[Number]:
    try:
        return [kind(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} {text}: give {what} separated by commas, such as {example}") from None


def _spread(value: Tuple[float, Optional[float]], digits: int) -> str:
    mean, deviation = value
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def _mean(values: Sequence[Optional[float]], digits: int, unit: str = "") -> str:
    there = [value for value in values if value is not None and not math.isnan(value)]
    return f"{mean_deviation(there)[0]:.{digits}f}{unit}" if len(there) == len(values) else "-"
