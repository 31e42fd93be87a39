"""The options that all commands have which put raw text through a model; nothing heavy is imported for their help."""

from __future__ import annotations

import argparse
import logging


def add_line_arguments(parser: argparse.ArgumentParser, best: str) -> None:
    """Declare the options that all of these commands have; ``best`` is what --nbest gives."""
    parser.add_argument("--input", metavar="FILE", help="text, UTF-8, a line a sentence (default: standard input)")
    parser.add_argument(
        "--path", required=True, metavar="FILE[:FILE...]", help="the checkpoint, or those of an ensemble"
    )
    parser.add_argument(
        "--text",
        metavar="DIR",
        help="what a prepare script wrote, with text.json (default: text/ beside the checkpoint, or its data)",
    )
    parser.add_argument("--out", metavar="FILE", help="a file that appears when it is whole (default: standard output)")
    parser.add_argument(
        "--nbest", type=int, default=1, metavar="N", help=f"{best}, each after its line's number and a tab"
    )
    parser.add_argument("--scores", action="store_true", help="a column with the score")
    parser.add_argument("--repair", action="store_true", help="put a blank for control and line-separator characters")
    parser.add_argument(
        "--buffer-size", type=int, metavar="N", help="lines read before answers are written (default: 1000)"
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="that work side by side; with GPUs, one each"
    )
    parser.add_argument("--shard", metavar="I/N", help="answer shard I of N of FILE alone, from 0 to N - 1")
    parser.add_argument("--merge", action="store_true", help="put the shards of --out together")
    parser.add_argument("--resume", action="store_true", help="go on with what the same command has written to --out")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="-- OPTION...", help="of fairseq-interactive")


def quiet() -> None:
    """Let fairseq, which says much when it is imported and more when it loads a model, say only what may be wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
