"""A table of finished language-model runs: parameters, perplexity, and validation losses against updates.

Each RUN is a folder of scripts/train.sh. Folders whose names differ only in "-seedN" are one row. Losses are in nats,
perplexity is exp(loss); fairseq's own log counts in bits. Losses compare only between models of one dictionary.

Where every run has its losses token by token (fairseq-plugins token-losses), a study's table follows: the loss of the
subset, and whether the models differ from a baseline, tested over seeds and blocks together.

examples:
  fairseq-plugins compare-losses runs/wikitext-2/*-seed* --csv table.csv --plot validation.png
  fairseq-plugins compare-losses runs/wikitext-103-base/*-seed* --at 10000,50000,200000 --below 5,2.5
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fairseq_plugins.errors import UserError
from fairseq_plugins.report import losses
from fairseq_plugins.report.outputs import add_output_arguments, print_tables, write_outputs, write_page
from fairseq_plugins.report.plots import plot_validation
from fairseq_plugins.report.runs import baseline_first, grouped, read_run, validated

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
    parser.add_argument("--subset", default="test", help="of which the losses token by token are (default: test)")
    add_output_arguments(parser, "validation", "validation loss")


def run(args: argparse.Namespace) -> int:
    """Read the runs, print the tables, write the files."""
    from fairseq_plugins.report.losses_by_block import losses_file

    groups = baseline_first(grouped([validated(read_run(folder)) for folder in args.runs]), args.baseline)
    below = _numbers("--below", args.below, float, "losses", "6,5.5") if args.below else []
    rows = [losses.summary(name, members, below) for name, members in groups.items()]
    shown = losses.common_updates(rows, SHOWN)
    if args.at:
        shown = _numbers("--at", args.at, int, "updates", "1000,2000")
    missing = [folder for folder in args.runs if not losses_file(folder, args.subset).is_file()]
    remedy = f"fairseq-plugins token-losses {missing[0]} --subset {args.subset}" if missing else ""
    remedy += f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    if args.page and missing:
        raise UserError(f"--page {args.page}: the losses token by token are missing; make them with {remedy}")
    untested = [f"No test of the differences, which needs the losses token by token: {remedy}"]
    print(losses.markdown(rows, shown, below, untested if missing and len(groups) > 1 else []))
    results, members = (None, {}) if missing else _token_by_token(args)
    if results:
        print()
        print_tables(results)
    write_outputs(
        args,
        {"rows": rows, "results": results},
        lambda: losses.as_csv(rows),
        lambda path: plot_validation(rows, path, "nats a token"),
    )
    if args.page and results:
        write_page(args.page, results, members)
    return 0


def _token_by_token(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """A study's results of the runs, and its members."""
    from fairseq_plugins.report.losses_by_block import check_same_tokens, read_losses
    from fairseq_plugins.report.members import by_variant, comparison, data_of, loss_member
    from fairseq_plugins.study.analysis import of_language_models

    found = {folder: read_losses(folder, args.subset) for folder in args.runs}
    check_same_tokens(found)
    members = by_variant([loss_member(folder, of_tokens) for folder, of_tokens in found.items()], args.baseline)
    causal = next(iter(found.values())).mask_seed < 0
    results = comparison(members, "language_modeling" if causal else "masked_lm", "loss", args.subset)
    data = data_of(members)
    if args.page and (data / "dict.txt").is_file():
        folders = {name: [Path(member.run.folder) for member in group] for name, group in members.items()}
        results["analysis"] = of_language_models(members, folders, data, args.subset)
    return results, members


def _numbers(option: str, text: str, kind: Callable[[str], Number], what: str, example: str) -> list[Number]:
    try:
        return [kind(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"{option} {text}: give {what} separated by commas, such as {example}") from None
