"""Write two toy tasks in GLUE's own layout, and a byte-level BPE without merges, to try things out without any data.

fairseq-plugins glue-toy toy-glue
scripts/prepare_glue.sh --from toy-glue/glue --bpe-dir toy-glue/bpe --out data/toy-glue
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="where to write glue/ and bpe/")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")


def run(args: Namespace) -> int:
    from fairseq_plugins.glue.toy import write_toy

    write_toy(args.folder, args.seed)
    return 0
