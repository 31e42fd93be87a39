"""Print what the fine-tuning of a pretrained checkpoint on GLUE takes: one line a task.

A line holds, separated by tabs, the task, its data, the updates and the training tokens of a run, and for fairseq-train
--arch, --max-tokens and all further options. The architecture and its options come from the checkpoint. Tasks that were
not prepared are named on standard error. examples/symmetric_attention/glue.sh runs the plan.

    fairseq-plugins glue-plan --checkpoint runs/pretrained/checkpoint_best.pt --data data/glue
    fairseq-plugins glue-plan --checkpoint model.pt --data data/glue --tasks CoLA,RTE --lr 1e-4 --epochs 3
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="of a masked language model")
    parser.add_argument("--data", required=True, metavar="DIR", help="what scripts/prepare_glue.sh wrote")
    parser.add_argument("--tasks", default="", metavar="A,B", help="only these (default: all that are there)")
    parser.add_argument("--lr", type=float, default=1e-5, help="peak learning rate (default: 1e-5)")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="sentences of an update (default: 16)")
    parser.add_argument(
        "--settings", metavar="FILE", help="write the settings there; stop if others stand there already"
    )
    parser.add_argument("options", nargs="*", metavar="OPTION", help="after --: further options, for --settings")


def run(args: Namespace) -> int:
    from fairseq_plugins.glue.finetuning import Settings, fine_tunings, keep_settings
    from fairseq_plugins.glue.metrics import check_installed
    from fairseq_plugins.glue.pretrained import Pretrained

    settings = Settings(args.lr, args.epochs, args.batch)
    check_installed()
    pretrained = Pretrained.load(args.checkpoint)
    names = [name for name in args.tasks.split(",") if name]
    found, missing = fine_tunings(pretrained, args.data, names, settings)
    if args.settings:
        keep_settings(args.settings, pretrained, settings, args.options)
    if missing and not args.tasks:
        print(f"glue-plan: not prepared, so left out: {', '.join(missing)}", file=sys.stderr)
    long = [tuning.task.name for tuning in found if tuning.longest > pretrained.max_positions]
    if long:
        print(
            f"glue-plan: examples of {', '.join(long)} are longer than the {pretrained.max_positions} tokens that the "
            "model can take and lose their end; prepare them with that --max-length to cut both texts instead",
            file=sys.stderr,
        )
    for tuning in found:
        fields = [tuning.data, tuning.updates, tuning.tokens, tuning.arch, tuning.max_tokens, *tuning.options]
        print(tuning.task.name, *fields, sep="\t")
    return 0
