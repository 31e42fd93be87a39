"""Encode text with a byte-level BPE in GPT-2's formats: the ids as text, a line for each line.

Writes what fairseq's examples/roberta/multiprocessing_bpe_encoder.py writes with --keep-empty: white space around
a line is dropped, empty lines stay. --dict also writes fairseq's dict.txt, which holds all ids of the BPE, with their
counts in the first file.

examples:
  fairseq-plugins apply-byte-bpe --bpe bpe raw/valid.txt --output valid
  fairseq-plugins apply-byte-bpe --bpe bpe raw/train.txt raw/valid.txt --output train valid --dict dict.txt --workers 4
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from fairseq_plugins.lines import CorpusError
from fairseq_plugins.runtime.durable import whole_files, write_whole
from fairseq_plugins.text.byte_bpe import ByteBPE, dictionary, encode_lines, read_lines

#: lines between two lines of progress
REPORT = 250_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="text, UTF-8")
    parser.add_argument("--output", nargs="+", required=True, metavar="FILE", help="one for each input")
    parser.add_argument("--bpe", required=True, metavar="DIR", help="folder with encoder.json and vocab.bpe")
    parser.add_argument("--unk", action="store_true", help="the word <unk> in the text is the dictionary's <unk>")
    parser.add_argument("--dict", metavar="FILE", help="write dict.txt there")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Encode file after file, count the first."""
    if len(args.output) != len(args.files):
        raise CorpusError(f"--output needs {len(args.files)} names, one for each input, but has {len(args.output)}")
    counts = [_encode_file(source, target, args) for source, target in zip(args.files, args.output)]
    if args.dict:
        write_whole(args.dict, dictionary(ByteBPE(args.bpe).ids, counts[0]))
    return 0


def _encode_file(source: str, target: str, args: argparse.Namespace) -> Counter[str]:
    """Write the encoded file whole or not at all; returns how often each id occurs."""
    counts: Counter[str] = Counter()
    number = 0
    with whole_files([target]) as (file,):
        for number, line in enumerate(encode_lines(read_lines(source), args.bpe, args.unk, args.workers), 1):
            counts.update(line.split())
            file.write(f"{line}\n".encode("ascii"))
            if number % REPORT == 0:
                print(f"{Path(source).name}: {number} lines", file=sys.stderr, flush=True)
        if number == 0:
            raise CorpusError(f"{source}: the file is empty; fetch it again")
    print(f"{Path(target).name}: {number} lines, {sum(counts.values())} tokens", file=sys.stderr)
    return counts
