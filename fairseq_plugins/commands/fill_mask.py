"""Fill <mask> in raw text by a masked language model: a line out for each line in.

With --nbest or --scores a line has columns, separated by tabs: the number of the line that came in (--nbest), the text,
the probability. Of a line with several masks each gets its likeliest filling, whatever --nbest says; one without stays
as it is. scripts/fill_mask.sh calls it.

examples:
  echo "The <mask> barks." | fairseq-plugins fill-mask --path runs/roberta/checkpoint_best.pt --nbest 5 --scores
"""

from __future__ import annotations

import argparse

from fairseq_plugins.inference.arguments import add_line_arguments, quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_line_arguments(parser, "the N likeliest fillings of a line")


def run(args: argparse.Namespace) -> int:
    """Fill all lines."""
    quiet()
    from fairseq_plugins.inference.filling import MaskFiller
    from fairseq_plugins.inference.running import run

    return run(args, "fill-mask", MaskFiller, ["--nbest", str(args.nbest)], split=False)
