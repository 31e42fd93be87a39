"""Turn a model with shared or missing projections into a stock fairseq checkpoint with identical outputs.

A shared projection (symmetric, pairwise, sharedkv, sharedqkv) becomes one for each that shares it, pairwise factors are
multiplied into the query projection, queries without one (identityquery) get the identity, and the heads of
--attention-kv-heads are repeated. Stock fairseq (without --user-dir) and everything that reads its checkpoints can then
load the model. It works for every family and site, with linear projections; networks (--attention-projection neural,
nonlinear-query) cannot be folded. OUT appears complete or not at all.

    fairseq-plugins fold-checkpoint runs/pairwise/checkpoint_best.pt pairwise_stock.pt
    fairseq-generate data-bin/iwslt17.de-en --path pairwise_stock.pt --beam 5 --remove-bpe
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="checkpoint to read")
    parser.add_argument("target", metavar="OUT", help="checkpoint to write")


def run(args: Namespace) -> int:
    from fairseq_plugins.transfer.fold import fold_checkpoint

    notes = fold_checkpoint(args.source, args.target)
    for note in notes:
        print(f"fold-checkpoint: {note}", file=sys.stderr)
    return 0
