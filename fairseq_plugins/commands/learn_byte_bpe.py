"""Learn a byte-level BPE from text and write it in GPT-2's formats: encoder.json and vocab.bpe.

fairseq reads it by --bpe gpt2 --gpt2-encoder-json DIR/encoder.json --gpt2-vocab-bpe DIR/vocab.bpe, Hugging Face's
GPT2TokenizerFast by the same two files. Needs the package tokenizers.

example:
  fairseq-plugins learn-byte-bpe raw/train.txt --size 32768 --output bpe
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path

from fairseq_plugins.text.byte_bpe import BYTES, ENCODER, MERGES, learn, read_lines, write_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="training text, UTF-8")
    parser.add_argument("--size", type=int, required=True, metavar="N", help=f"symbols, {BYTES} bytes included")
    parser.add_argument("--output", required=True, metavar="DIR", help=f"where {ENCODER} and {MERGES} go")
    parser.add_argument("--unk", action="store_true", help="the word <unk> in the text is one token, not five letters")


def run(args: argparse.Namespace) -> int:
    """Read, learn, write."""
    vocabulary, merges = learn(chain.from_iterable(map(read_lines, args.files)), args.size, args.unk)
    Path(args.output).mkdir(parents=True, exist_ok=True)
    write_model(args.output, vocabulary, merges)
    short = "" if len(vocabulary) == args.size else f" (of {args.size}: the text has no more pairs that repeat)"
    print(f"{Path(args.output).name}: {len(vocabulary)} symbols{short}", file=sys.stderr)
    return 0
