"""Write a toy treebank in the Penn Treebank's format, to try things out without any data.

The trees come from a small grammar of the project's own, with traces, functional tags, indices and punctuation.
The same options give the same bytes everywhere.

examples:
  fairseq-plugins treebank-toy toy.mrg --trees 300
  scripts/prepare_treebank.sh --from toy.mrg --valid 30 --test 30 --out data/toy-treebank
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fairseq_plugins.parsing import toy
from fairseq_plugins.runtime.durable import write_whole


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="bracketed file to write (.mrg)")
    parser.add_argument("--trees", type=int, default=300, metavar="N", help="default: 300")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")


def run(args: Namespace) -> int:
    text = "\n".join(toy.layout(tree) for tree in toy.generate(args.seed, args.trees))
    write_whole(args.file, f"{text}\n".encode())
    return 0
