"""The loss of every token that language models predict in a test set, as fairseq-validate has it in sum.

Each RUN is a folder of scripts/train.sh with a masked or a causal language model. Writes losses.SUBSET.npz into it: for
each predicted token its symbol, its position and number of its block, and its loss in nats. A masked LM predicts what
its masks hide; --mask-seed draws the same masks for all runs, whatever --seed they were trained with.

examples:
  fairseq-plugins token-losses runs/lm/*-seed*
  fairseq-plugins token-losses runs/lm/baseline-seed1 --subset valid --cpu
"""

from __future__ import annotations

import argparse
import logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--subset", default="test", help="of the data (default: test)")
    parser.add_argument("--data", metavar="DIR", help="folder of fairseq-preprocess (default: that of the training)")
    parser.add_argument(
        "--checkpoint", default="checkpoint_best.pt", metavar="FILE", help="of a run (default: checkpoint_best.pt)"
    )
    parser.add_argument("--max-tokens", type=int, default=2048, metavar="N", help="of a batch (default: 2048)")
    parser.add_argument(
        "--mask-seed", type=int, default=1, metavar="N", help="fairseq's --seed for a masked LM's masks (default: 1)"
    )
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU even if there is a GPU")


def run(args: argparse.Namespace) -> int:
    """Evaluate each run, write its file, say its mean."""
    from pathlib import Path

    from fairseq_plugins.analysis.token_losses import losses_of_run
    from fairseq_plugins.checkpoints.reading import check_archive
    from fairseq_plugins.report.losses_by_block import losses_file

    logging.getLogger("fairseq").setLevel(logging.WARNING)
    for folder in args.runs:
        check_archive(Path(folder) / args.checkpoint, whole=False)
        found = losses_of_run(
            folder, args.subset, args.data, args.checkpoint, args.cpu, args.max_tokens, args.mask_seed
        )
        print(
            f"{losses_file(folder, args.subset)}: {found.mean:.4f} nats a token, {len(found.loss):,} tokens in "
            f"{found.blocks:,} blocks",
            flush=True,
        )
    return 0
