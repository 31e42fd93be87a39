"""Turn a stock transformer or roberta checkpoint into transformer_baseline or roberta_baseline, or back.

Architectures pair up by their ending: transformer_iwslt_de_en and transformer_baseline_iwslt_de_en, for example.
Weights keep their names and values. Other variants have no stock form and are refused. OUT appears complete or not
at all, and only if both models have the same outputs.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="checkpoint to read")
    parser.add_argument("target", metavar="OUT", help="checkpoint to write")
    parser.add_argument("--to", required=True, choices=["stock", "baseline"], help="what OUT is for")


def run(args: Namespace) -> int:
    from fairseq_plugins.checkpoints.convert import convert_checkpoint

    notes = convert_checkpoint(args.source, args.target, args.to)
    for note in notes:
        print(f"convert-checkpoint: {note}", file=sys.stderr)
    return 0
