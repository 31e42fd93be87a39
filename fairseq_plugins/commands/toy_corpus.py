"""Write the toy German-English corpus: train, valid and test, a sentence a line.

The sentences come from a small grammar of German and English (agreement, case, verb-second and verb-final order,
separable verbs, perfect and modal brackets, negation, questions, relative clauses). The same options give the same
bytes everywhere. No sentence stands in two sets; the test and validation sets do not depend on --train.

example:
  fairseq-plugins toy-corpus --out toy --seed 1 --train 20000 --valid 500 --test 500
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fairseq_plugins.lines import CorpusError
from fairseq_plugins.runtime.durable import write_whole
from fairseq_plugins.text.toy import generate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for {train,valid,test}.{de,en}")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--train", type=_size, default=20000, metavar="N", help="sentence pairs (default: 20000)")
    parser.add_argument("--valid", type=_size, default=500, metavar="N", help="sentence pairs (default: 500)")
    parser.add_argument("--test", type=_size, default=500, metavar="N", help="sentence pairs (default: 500)")


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1000000, not {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Generate and write."""
    splits = generate(args.seed, {"test": args.test, "valid": args.valid, "train": args.train})
    folder = Path(args.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    for name, pairs in splits.items():
        for language in ("de", "en"):
            text = "".join(f"{getattr(pair, language)}\n" for pair in pairs)
            write_whole(folder / f"{name}.{language}", text.encode("utf-8"))
    print(
        f"{args.out}: {', '.join(f'{len(splits[n])} {n}' for n in ('train', 'valid', 'test'))} pairs", file=sys.stderr
    )
    return 0
