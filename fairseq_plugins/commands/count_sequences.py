"""How many sequences of a length the text of a binarised split makes, where they go on over the ends of lines.

The split is what fairseq-preprocess wrote with mmap indices, its default: DATA_BIN/train for DATA_BIN/train.{bin,idx}.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fairseq_plugins.errors import UserError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("split", metavar="DATA_BIN/SPLIT", help="path without .bin or .idx")
    parser.add_argument("length", type=int, help="tokens of a sequence")


def run(args: Namespace) -> int:
    from fairseq.data.indexed_dataset import MMapIndexedDataset

    try:
        data = MMapIndexedDataset(args.split)  # its sizes are memory that goes with it
        tokens = int(data.sizes.sum())
    except (OSError, ValueError, AssertionError) as error:
        raise UserError(f"cannot read {args.split}.idx ({error})") from error
    print(-(-tokens // args.length))
    return 0
