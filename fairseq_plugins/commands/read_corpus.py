"""Plain text, a sentence a line, from the official corpus layouts.

Takes plain text, the tagged training files (train.tags.de-en.de: sentence lines between lines of metadata) and
the XML development and test files (sentences in <seg>), each plain or gzipped. Refuses broken UTF-8, control
characters, CR LF, empty files; with --parallel also sides that do not match. Writes nothing unless all is well.

examples:
  fairseq-plugins read-corpus IWSLT17.TED.dev2010.en-de.de.xml.gz > dev2010.de
  fairseq-plugins read-corpus --parallel train.tags.de-en.de train.tags.de-en.en --output train.de train.en
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List

from fairseq_plugins.corpus import LAYOUTS, CorpusError, Sentence, check_parallel, read_corpus, write_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="corpus file, plain or gzipped")
    parser.add_argument("--output", nargs="+", metavar="FILE", help="one for each input; default: standard output")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="default: decide by content")
    parser.add_argument("--parallel", action="store_true", help="files come in pairs that must be aligned")
    parser.add_argument(
        "--training",
        type=int,
        default=0,
        metavar="N",
        help="the first N pairs are training text: lines that are empty on both sides are no error there",
    )
    parser.add_argument("--drop-empty", action="store_true", help="nor are lines there that are empty on one side")
    parser.add_argument("--repair", action="store_true", help="put a blank for control and line-separator characters")


def run(args: argparse.Namespace) -> int:
    """Read, check, write."""
    try:
        _run(args)
    except CorpusError as error:
        print(f"read-corpus: error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(args: argparse.Namespace) -> None:
    if args.output and len(args.output) != len(args.files):
        raise CorpusError(f"--output needs {len(args.files)} names, one for each input, but has {len(args.output)}")
    if args.parallel and len(args.files) % 2:
        raise CorpusError("--parallel needs an even number of files: SOURCE TARGET [SOURCE TARGET ...]")
    texts: List[List[Sentence]] = [read_corpus(path, args.layout, args.repair) for path in args.files]
    if args.parallel:
        for pair, i in enumerate(range(0, len(texts), 2)):
            empty = "none" if pair >= args.training else "any" if args.drop_empty else "both"
            check_parallel(texts[i], texts[i + 1], args.files[i], args.files[i + 1], empty)
    if not args.output:
        for text in texts:
            sys.stdout.buffer.write(_encode(text))
        sys.stdout.buffer.flush()
        return
    for name, text in zip(args.output, texts):
        write_whole(name, _encode(text))
        print(f"{Path(name).name}: {len(text)} lines", file=sys.stderr)


def _encode(text: List[Sentence]) -> bytes:
    return "".join(f"{s.text}\n" for s in text).encode("utf-8")
