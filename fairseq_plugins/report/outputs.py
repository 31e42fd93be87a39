"""What a table command prints, and the files that it may write besides."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairseq_plugins.runtime.durable import write_whole

if TYPE_CHECKING:
    from .results import Member

    Members = Mapping[str, Sequence[Member]]


def add_output_arguments(parser: argparse.ArgumentParser, lines: str, picture: str) -> None:
    """Declare ``--baseline`` and the files; the texts say what a line of CSV is, and what is drawn."""
    parser.add_argument("--baseline", metavar="NAME", help="row to test against (default: 'baseline', or the first)")
    parser.add_argument("--json", metavar="FILE", help="write everything, with the validation curves")
    parser.add_argument("--csv", metavar="FILE", help=f"write one line a {lines}")
    parser.add_argument("--plot", metavar="FILE", help=f"draw the {picture} (needs matplotlib)")
    parser.add_argument(
        "--page", metavar="DIR", help="write the report that a study has: DIR/report.html and its twins"
    )


def show(args: argparse.Namespace, results: Mapping[str, Any], members: Members, plot: Callable[[str], None]) -> None:
    """Print the tables of a comparison, and write the files that were asked for."""
    from .page.lines import as_csv

    print_tables(results)
    write_outputs(args, results, lambda: as_csv(results), plot)
    if args.page:
        write_page(args.page, results, members)


def print_tables(results: Mapping[str, Any]) -> None:
    """As Markdown."""
    from .page.markdown import as_markdown

    print(as_markdown(results), end="")


def write_outputs(
    args: argparse.Namespace, content: Any, as_csv: Callable[[], str], plot: Callable[[str], None]
) -> None:
    """Write the files that were asked for; a plot without matplotlib is a remark and no failure."""
    if args.json:
        write_whole(args.json, f"{json.dumps(content, indent=2)}\n".encode())
    if args.csv:
        write_whole(args.csv, as_csv().encode())
    if args.plot:
        try:
            plot(args.plot)
        except ModuleNotFoundError as error:
            print(error, file=sys.stderr)


def write_page(folder: str, results: Mapping[str, Any], members: Members) -> None:
    """Write the report of a comparison."""
    from .page.write import write_report
    from .times import times_of

    write_report(results, times_of(members), folder)
