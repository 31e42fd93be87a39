"""Turn one GLUE task's published files into the data of fairseq's sentence_prediction task.

SOURCE is the task's folder in GLUE's own layout (train.tsv, dev.tsv; plain or gzipped), TARGET is made: input0, input1,
label, and task.json, which says what is in them. Examples longer than --max-length lose tokens at the end of their
longer text. scripts/prepare_glue.sh calls this for every task that is there.

    fairseq-plugins glue-prepare MRPC glue/MRPC data/glue/MRPC-bin --bpe-dir data/wikitext-2/bpe \\
        --dict data/wikitext-2/bin/dict.txt
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from fairseq_plugins.glue.tasks import TASKS


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("task", choices=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("source", metavar="SOURCE", help="the task's folder")
    parser.add_argument("target", metavar="TARGET", help="folder to make")
    parser.add_argument("--bpe-dir", required=True, metavar="DIR", help="folder with encoder.json and vocab.bpe")
    parser.add_argument("--dict", required=True, metavar="FILE", help="dict.txt of the pretraining data")
    parser.add_argument("--max-length", type=int, default=128, metavar="N", help="tokens at most (default: 128)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")


def run(args: Namespace) -> int:
    from fairseq_plugins import compat

    compat.apply()  # the preparation scripts run this without the package's __init__, which would
    from fairseq_plugins.glue.binarise import prepare_task

    def report(sentence: str) -> None:
        print(f"glue-prepare: {args.task} {sentence}", file=sys.stderr)

    prepare_task(
        TASKS[args.task],
        args.source,
        args.target,
        args.bpe_dir,
        args.dict,
        args.max_length,
        args.workers,
        report,
    )
    return 0
