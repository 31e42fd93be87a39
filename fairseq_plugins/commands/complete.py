"""Go on with raw text by a causal language model: a line out for each line in, the line and what comes after it.

With --nbest or --scores a line has columns, separated by tabs: the number of the line that came in (--nbest), the
text, the score (a mean of log2 probabilities, those of the line itself too). An empty line stays empty.
scripts/complete.sh calls it.

examples:
  echo "The old man" | fairseq-plugins complete --path runs/lm/checkpoint_best.pt --length 30
  fairseq-plugins complete --path runs/lm/checkpoint_best.pt --input prompts.txt -- --sampling --beam 1
"""

from __future__ import annotations

import argparse

from fairseq_plugins.inference.arguments import add_line_arguments, quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_line_arguments(parser, "the N best completions of a line")
    parser.add_argument(
        "--length", type=int, default=50, metavar="N", help="tokens that come after it, at most (default: 50)"
    )


def run(args: argparse.Namespace) -> int:
    """Complete all lines."""
    quiet()
    from fairseq_plugins.inference.generating import Completer
    from fairseq_plugins.inference.running import run

    return run(args, "complete", Completer, ["--nbest", str(args.nbest), "--max-len-b", str(args.length)], split=False)
