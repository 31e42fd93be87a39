"""Translate raw text with a trained model: a line out for each line in, also an empty one.

Text goes through what the training's text went through, and back. With --nbest, --scores or --alignments a line has
columns, separated by tabs: the number of the source line (--nbest), the text, the score (a mean of log2 probabilities,
as fairseq-generate gives it), and the alignment: pairs of words, counted from 0, the source's words, the text's words.
scripts/translate.sh calls it.

examples:
  fairseq-plugins translate --path runs/fr-en/checkpoint_best.pt --input news.fr > news.en
  fairseq-plugins translate --path runs/a/checkpoint_best.pt:runs/b/checkpoint_best.pt --input news.fr --out news.en
  echo "Un homme dort." | fairseq-plugins translate --path runs/fr-en/checkpoint_best.pt --nbest 5 --scores -- --beam 10
"""

from __future__ import annotations

import argparse

from fairseq_plugins.inference.arguments import add_line_arguments, quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_line_arguments(parser, "the N best translations of a line")
    parser.add_argument(
        "--alignments", action="store_true", help="columns with an alignment, by attention, and its words"
    )
    parser.add_argument(
        "--long",
        choices=("split", "refuse"),
        default="split",
        help="a line that is longer than the model takes is translated in parts, sentence by sentence, or refused by "
        "its number (default: split)",
    )


def run(args: argparse.Namespace) -> int:
    """Translate all lines."""
    quiet()
    from fairseq_plugins.inference.generating import Translator
    from fairseq_plugins.inference.running import run

    words = ["--nbest", str(args.nbest), *(["--print-alignment"] if args.alignments else [])]
    return run(args, "translate", Translator, words, split=args.long == "split")
