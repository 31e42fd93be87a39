"""Cut validation and test sets from a parallel text, which loses their lines.

Which pairs are chosen follows from seed and text; within a set they keep the order of the text. No sentence stands in
two sets. Other lines with a sentence of theirs stay: clean-corpus --held-out --drop-held-out 1 drops and counts them.

examples:
  fairseq-plugins hold-out raw/train.fr raw/train.en --set 1000 raw/valid.fr raw/valid.en \\
      --set 1000 raw/test.fr raw/test.en
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fairseq_plugins.lines import CorpusError
from fairseq_plugins.runtime.durable import whole_files
from fairseq_plugins.text.cleaning import read_pairs
from fairseq_plugins.text.holding_out import choose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument(
        "--set",
        nargs=3,
        action="append",
        required=True,
        metavar=("N", "SOURCE", "TARGET"),
        help="N pairs go to these files; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another one, other pairs (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Choose, and write all files anew."""
    sizes = [int(size) if size.isdecimal() else 0 for size, _, _ in args.set]
    if 0 in sizes:
        raise CorpusError("--set needs a number of at least 1 before the names of its files")
    chosen = choose(lambda: read_pairs(args.source, args.target), sum(sizes), args.seed)
    of_line: dict[int, int] = {}
    for number, size in enumerate(sizes):
        start = sum(sizes[:number])
        of_line.update(dict.fromkeys(chosen[start : start + size], 2 + 2 * number))
    names = [args.source, args.target, *(name for _, *names in args.set for name in names)]
    with whole_files(names) as files:
        for line, pair in enumerate(read_pairs(args.source, args.target)):
            first = of_line.get(line, 0)
            for side, file in enumerate(files[first : first + 2]):
                file.write(f"{pair[side]}\n".encode())
    for size, source, target in args.set:
        print(f"{Path(source).name}, {Path(target).name}: {size} pairs of the training text", file=sys.stderr)
    return 0
