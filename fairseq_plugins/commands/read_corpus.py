"""Plain text, a sentence a line, from the official corpus layouts.

Takes plain text, the tagged training files (train.tags.de-en.de: sentence lines between lines of metadata), the
XML development and test files (sentences in <seg>) and WMT's SGM files, each plain or gzipped. Refuses broken UTF-8,
control characters, CR LF, empty files; with --parallel also sides that do not match. Writes nothing unless all is
well. Lines are read one at a time: a file may be larger than the memory.

examples:
  fairseq-plugins read-corpus IWSLT17.TED.dev2010.en-de.de.xml.gz > dev2010.de
  fairseq-plugins read-corpus --parallel train.tags.de-en.de train.tags.de-en.en --output train.de train.en
  fairseq-plugins read-corpus --parallel --training 2 --join europarl-v7.de-en.en europarl-v7.de-en.de \\
      news-commentary-v9.de-en.en news-commentary-v9.de-en.de --output train.en train.de
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from fairseq_plugins.lines import CorpusError
from fairseq_plugins.runtime.durable import whole_files
from fairseq_plugins.text.cleaning import aligned
from fairseq_plugins.text.reading import LAYOUTS, stream_corpus


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
    parser.add_argument("--titles", action="store_true", help="of tagged files, titles and descriptions too")
    parser.add_argument("--join", action="store_true", help="the training pairs become one, in their order")
    parser.add_argument("--drop-empty", action="store_true", help="nor are lines there that are empty on one side")
    parser.add_argument("--repair", action="store_true", help="put a blank for control and line-separator characters")


def run(args: argparse.Namespace) -> int:
    """Read, check, write."""
    if args.parallel and len(args.files) % 2:
        raise CorpusError("--parallel needs an even number of files: SOURCE TARGET [SOURCE TARGET ...]")
    joined = 2 * (args.training - 1) if args.join else 0
    if args.join and not (args.parallel and 0 <= joined < len(args.files)):
        raise CorpusError("--join needs --parallel, and --training N with N of the pairs")
    count = len(args.files) - joined
    if args.output and len(args.output) != count:
        raise CorpusError(f"--output needs {count} names, one for each text, but has {len(args.output)}")
    if args.output:
        with whole_files(args.output) as files:
            lines = _write(args, joined, files)
        for name, number in zip(args.output, lines):
            print(f"{Path(name).name}: {number} lines", file=sys.stderr)
        return 0
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        _write(args, joined, files)
        for file in files:
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return 0


def _write(args: argparse.Namespace, joined: int, files: list[BinaryIO]) -> list[int]:
    """Every text into its file; the numbers of lines."""
    lines = [0] * len(files)
    if not args.parallel:
        for i, path in enumerate(args.files):
            for sentence in stream_corpus(path, args.layout, args.repair, args.titles):
                files[i].write(f"{sentence.text}\n".encode())
                lines[i] += 1
        return lines
    for i in range(0, len(args.files), 2):
        training = i < 2 * args.training
        empty = "none" if not training else "any" if args.drop_empty else "both"
        source, target = args.files[i : i + 2]
        out = max(0, i - joined)
        before = lines[out]
        left, right = (stream_corpus(path, args.layout, args.repair, args.titles) for path in (source, target))
        for pair in aligned(left, right, source, target, empty):
            for side, sentence in enumerate(pair):
                files[out + side].write(f"{sentence.text}\n".encode())
                lines[out + side] += 1
        if joined and training:
            print(f"{source}: {lines[out] - before} pairs", file=sys.stderr)
    return lines
