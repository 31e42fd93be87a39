"""Check a tokenised parallel corpus and drop pairs by length and length ratio.

Works as Moses' clean-corpus-n does, and says what it dropped and why. With --held-out it also counts the
held-out sentences that stand in the training text.

example:
  fairseq-plugins clean-corpus tok/train.de tok/train.en --output train.de train.en --max 175 --ratio 1.5
"""

from __future__ import annotations

import argparse
import sys
from typing import List, Tuple

from fairseq_plugins.corpus import CorpusError, check_parallel, clean, overlap, read_corpus, write_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("--output", nargs=2, metavar=("SOURCE", "TARGET"), help="default: check and count only")
    parser.add_argument("--min", type=int, default=1, metavar="N", help="fewest tokens of a side (default: 1)")
    parser.add_argument("--max", type=int, default=175, metavar="N", help="most tokens of a side (default: 175)")
    parser.add_argument("--ratio", type=float, default=1.5, metavar="R", help="most tokens a token (default: 1.5)")
    parser.add_argument("--drop-duplicates", action="store_true", help="drop a pair that came before")
    parser.add_argument(
        "--held-out",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "SOURCE", "TARGET"),
        help="count this set's sentences that stand in the training text; may be repeated",
    )
    parser.add_argument("--report", metavar="FILE", help="also write the counts there")


def run(args: argparse.Namespace) -> int:
    """Read, clean, report, write."""
    try:
        _run(args)
    except CorpusError as error:
        print(f"clean-corpus: error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(args: argparse.Namespace) -> None:
    pairs = _read(args.source, args.target)
    kept, report = clean(pairs, args.min, args.max, args.ratio, args.drop_duplicates)
    lines = report.lines()
    for name, source, target in args.held_out:
        counts = overlap(pairs, _read(source, target))
        found = ", ".join(f"{count} by {side}" for side, count in counts.items())
        lines.append(f"{name} sentences that also stand in the training text: {found}")
    print("\n".join(lines), file=sys.stderr)
    if not kept:
        raise CorpusError(
            f"{args.source}: no pair is left of {report.total}; check that the files belong together, or give "
            "larger --max and --ratio"
        )
    if args.report:
        write_whole(args.report, "".join(f"{line}\n" for line in lines).encode("utf-8"))
    if args.output:
        for i, name in enumerate(args.output):
            write_whole(name, "".join(f"{pair[i]}\n" for pair in kept).encode("utf-8"))


def _read(source: str, target: str) -> List[Tuple[str, str]]:
    left, right = read_corpus(source, "plain"), read_corpus(target, "plain")
    check_parallel(left, right, source, target, empty="any")
    return [(s.text, t.text) for s, t in zip(left, right)]
