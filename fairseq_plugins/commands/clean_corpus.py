"""Check a tokenised parallel corpus and drop pairs by length and length ratio.

Works as Moses' clean-corpus-n does, and says what it dropped and why. With --held-out it also counts the
held-out sentences that stand in the training text, and drops those pairs on request. Lines are read one at a time:
a file may be larger than the memory.

examples:
  fairseq-plugins clean-corpus tok/train.de tok/train.en --output train.de train.en --max 175 --ratio 1.5
  fairseq-plugins clean-corpus tok/train.en tok/train.de --output train.en train.de --max 250 \\
      --held-out newstest2014 tok/test.en tok/test.de --drop-held-out 6 --report report.txt
"""

from __future__ import annotations

import argparse
import sys

from fairseq_plugins.lines import CorpusError
from fairseq_plugins.runtime.durable import whole_files, write_whole
from fairseq_plugins.text.cleaning import CleaningReport, HeldOut, read_pairs, stream_clean


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
    parser.add_argument(
        "--drop-held-out",
        type=int,
        default=0,
        metavar="N",
        help="drop a pair if a side of it that has at least N tokens stands in such a set (default: 0, drop none)",
    )
    parser.add_argument(
        "--split",
        nargs=3,
        metavar=("N", "SOURCE", "TARGET"),
        help="every Nth of the kept pairs goes to these files instead",
    )
    parser.add_argument("--report", metavar="FILE", help="also write the counts there")


def run(args: argparse.Namespace) -> int:
    """Read, clean, report, write."""
    number, split = (args.split[0], args.split[1:]) if args.split else ("0", [])
    every = int(number) if number.isdecimal() else 0
    if args.split and (every < 2 or not args.output):
        raise CorpusError(f"--split needs --output, and a number of at least 2, not '{number}'")
    held_out = {name: HeldOut(read_pairs(source, target), args.drop_held_out) for name, source, target in args.held_out}
    report = CleaningReport()
    kept = stream_clean(
        read_pairs(args.source, args.target),
        report,
        args.min,
        args.max,
        args.ratio,
        args.drop_duplicates,
        list(held_out.values()),
    )
    with whole_files([*(args.output or ()), *split]) as files:
        for count, pair in enumerate(kept, 1):
            apart = 2 if split and count % every == 0 else 0
            for side, file in enumerate(files[apart : apart + 2]):
                file.write(f"{pair[side]}\n".encode())
        lines = report.lines()
        if split:
            lines.append(f"of these set apart, one of {every}: {report.kept // every}")
        for name, held in held_out.items():
            found = ", ".join(f"{count} by {side}" for side, count in held.counts().items())
            lines.append(f"{name} sentences that also stand in the training text: {found}")
        print("\n".join(lines), file=sys.stderr)
        if not report.kept:
            raise CorpusError(
                f"{args.source}: no pair is left of {report.total}; check that the files belong together, or give "
                "larger --max and --ratio"
            )
        if args.report:
            write_whole(args.report, "".join(f"{line}\n" for line in lines).encode("utf-8"))
    return 0
