"""Learn a SentencePiece model (unigram) from all files together.

A short text may yield fewer pieces than asked for. Needs pip install 'fairseq_plugins[huggingface]'.

examples:
  fairseq-plugins learn-sentencepiece clean/train.ja clean/train.en --size 8000 --output spm.model
"""

from __future__ import annotations

import argparse
import sys

from fairseq_plugins.runtime.durable import write_whole
from fairseq_plugins.text.sentencepiece import learn, load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="text, UTF-8")
    parser.add_argument("--size", type=int, required=True, metavar="N", help="pieces")
    parser.add_argument("--output", required=True, metavar="MODEL", help="the model")


def run(args: argparse.Namespace) -> int:
    """Learn, write, count."""
    write_whole(args.output, learn(args.files, args.size))
    print(f"codes: {load_model(args.output).get_piece_size()} pieces", file=sys.stderr)
    return 0
