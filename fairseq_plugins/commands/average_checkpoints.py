"""Average the parameters of several checkpoints into one.

Floating-point parameters are summed in float64 and stored in their own type, so the result does not depend on the
order beyond that type's rounding. Everything else (options, task, training state) is the last checkpoint's, without
its optimizer. Checkpoints of different models (architecture, attention, whatever else changes what is computed, sizes
of dictionaries, shared embeddings) are refused; dropout and the like may differ.

    fairseq-plugins average-checkpoints runs/toy --last 5 --output runs/toy/average.pt
    fairseq-plugins average-checkpoints a.pt b.pt c.pt --output average.pt
"""

from __future__ import annotations

import argparse
import os

from fairseq_plugins.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="checkpoint files, or one folder with --last")
    parser.add_argument("--output", required=True, metavar="FILE", help="the averaged checkpoint")
    parser.add_argument("--last", type=int, metavar="N", help="of a folder, the N newest epochs")
    parser.add_argument("--updates", action="store_true", help="with --last: the saves by updates instead of epochs")


def run(args: argparse.Namespace) -> int:
    from fairseq_plugins.checkpoints.average import EPOCH, UPDATE, average, last_checkpoints

    paths = args.inputs
    if args.last is not None:
        if len(paths) != 1:
            raise UserError("--last takes one folder")
        paths = last_checkpoints(paths[0], args.last, UPDATE if args.updates else EPOCH)
    average(paths).write(args.output)
    print(f"{args.output}: the average of {len(paths)} checkpoints: {', '.join(map(os.path.basename, paths))}")
    return 0
