#!/usr/bin/env python3
"""Speed and memory as ratios that are measured side by side in one run.

    scripts/benchmark.py train [--sizes iwslt,wmt-base] [--systems stock,baseline,neuralqkv,symmetric,pairwise]
    scripts/benchmark.py generate [--sizes iwslt | --checkpoint FILE --data DIR] [--systems stock,baseline,ctranslate2]
    scripts/benchmark.py startup
    scripts/benchmark.py attention [--lengths 128,512,2048]

A system NAME of train and generate is stock, or a variant of the grid, each in a process of its own. NAME+LABEL with
--set NAME+LABEL=OPTIONS measures it with other options of fairseq-train or fairseq-generate, and --env NAME=VAR=VALUE
with another environment. All take turns on the same batches. No figure is printed for a system that does not compute
what its control does.

train: updates. neuralqkv+authors is neural QKV as its authors' code computes it, and huggingface, at RoBERTa's sizes,
transformers' class and an update of its Trainer. A second table sets the time of every variant beside the operations
that it needs, relative to the baseline.

generate: beam search as fairseq-generate does it, all systems with the same hypotheses; ctranslate2 is the stock model
exported to CTranslate2, and ctranslate2+int8 that with smaller weights, whose hypotheses are only counted (a count that
says something of trained models alone); huggingface is it in the class of transformers that it has for Marian's
models, with its generate; joeynmt is it in JoeyNMT, with its search, whose hypotheses are only counted, too. The models
are random ones that translate a sentence into itself, so that hypotheses end where those of a trained model would; or a
trained one with its own test set. JoeyNMT is installed aside, and found by --env joeynmt=PYTHONPATH=joeynmt:

    pip install --no-deps --target joeynmt joeynmt==2.3.0 "importlib_metadata<9" zipp tensorboard absl-py

startup: fairseq's commands with the plugin and without it, and a training to its first update.

attention: every mixing against torch's scaled_dot_product_attention, time and peak memory.

Run nothing else meanwhile.

    scripts/benchmark.py train --sizes tiny --rounds 2
    scripts/benchmark.py train --systems stock,baseline,neuralqkv,neuralqkv+authors --csv train.csv
    scripts/benchmark.py train --sizes iwslt --systems stock,baseline,baseline+fused --plot train.png \\
        --set "baseline+fused=--optimizer fused_adam" --env baseline+fused=MALLOC_MMAP_MAX_=0 \\
        --env baseline+fused=MALLOC_TRIM_THRESHOLD_=100000000000
    scripts/benchmark.py generate --systems stock,baseline,pairwise,ctranslate2,ctranslate2+int8 --beam 4
    scripts/benchmark.py generate --checkpoint runs/iwslt/checkpoint_best.pt --data data-bin/iwslt14 --batch-size 128
    scripts/benchmark.py generate --systems stock,baseline --profile
    scripts/benchmark.py startup --rounds 9 --json startup.json
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    """Read the command line and run one benchmark."""
    import torch

    from fairseq_plugins.benchmark import attention, machine, report
    from fairseq_plugins.benchmark.processes import Comparison, GateError

    parser = build_parser()
    args = parser.parse_args()
    check(args, parser)
    torch.set_num_threads(args.threads)
    logging.getLogger("fairseq").setLevel(logging.WARNING)
    if getattr(args, "peak_of", None):
        print(attention.cpu_peak(args.peak_of, int(args.lengths), args))
        return 0
    device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    busy = os.getloadavg()[0]
    if busy > 0.7:
        print(f"benchmark: the machine is busy (load {busy:.1f}): the ratios below are rough", file=sys.stderr)
    print(machine.describe(device, args.threads))
    try:
        if args.what == "attention":
            rows = attention.run(args, device)
        elif args.what == "startup":
            rows = report.start(args, device)
        else:
            systems, environments = read_systems(args, parser)
            for name, variables in environments.items():
                print(f"{name}: {' '.join(f'{variable}={value}' for variable, value in variables.items())}")
            comparison = Comparison(systems, environments, args.rounds, args.threads, device, args.profile > 0)
            rows = (report.train if args.what == "train" else report.generate)(args, comparison)
    except GateError as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
        return 1
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The options of all benchmarks."""
    from fairseq_plugins.benchmark import attention

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="what", required=True)
    train = kinds.add_parser("train", help="updates")
    generate = kinds.add_parser("generate", help="beam search")
    start = kinds.add_parser("startup", help="the start of fairseq's commands")
    alone = kinds.add_parser("attention", help="attention alone")
    for kind, defaults in (
        (train, "stock,baseline,neuralqkv,symmetric,pairwise"),
        (generate, "stock,baseline,ctranslate2"),
    ):
        sizes = f"of {', '.join(known_sizes(kind is generate))} (default: iwslt)"
        kind.add_argument("--sizes", default="iwslt", metavar="SIZE,...", help=sizes)
        kind.add_argument("--systems", default=defaults, metavar="NAME,...", help=f"(default: {defaults})")
        kind.add_argument("--set", action="append", default=[], metavar="NAME=OPTIONS", help="options of one system")
        kind.add_argument(
            "--env", action="append", default=[], metavar="NAME=VAR=VALUE", help="a variable of one system's process"
        )
        kind.add_argument("--rounds", type=int, default=3, metavar="N", help="timings of each batch (default: 3)")
        kind.add_argument("--plot", metavar="FILE", help="draw the ratios")
        kind.add_argument(
            "--profile",
            type=int,
            nargs="?",
            const=12,
            default=0,
            metavar="N",
            help="also profile a batch of each system, and show the N operators that take longest (default N: 12)",
        )
    train.add_argument("--batches", type=int, default=3, metavar="N", help="different batches (default: 3)")
    generate.add_argument("--beam", type=int, default=5, metavar="N", help="(default: 5)")
    generate.add_argument("--max-tokens", type=int, default=4096, metavar="N", help="of a batch (default: 4096)")
    generate.add_argument("--batch-size", type=int, metavar="N", help="sentences of a batch at most")
    generate.add_argument("--sentences", type=int, default=300, metavar="N", help="of random words (default: 300)")
    generate.add_argument("--checkpoint", metavar="FILE", help="translate with this model instead of random ones")
    generate.add_argument("--data", metavar="DIR", help="its data folder")
    generate.add_argument("--gen-subset", default="test", metavar="SPLIT", help="of --data (default: test)")
    start.add_argument("--rounds", type=int, default=5, metavar="N", help="starts of each (default: 5)")
    attention.add_arguments(alone)
    for kind in (train, generate, start):
        kind.add_argument("--csv", metavar="FILE", help="write the numbers, too")
    for kind in (train, generate, start, alone):
        kind.add_argument("--threads", type=int, default=1, metavar="N", help="of the CPU (default: 1)")
        kind.add_argument("--cpu", action="store_true", help="use the CPU even if there is a GPU")
        kind.add_argument("--json", metavar="FILE", help="write the numbers, too")
    return parser


def known_sizes(translate: bool) -> list[str]:
    """The sizes that can be measured: of translation models only, or all."""
    from fairseq_plugins.benchmark.sizes import SIZES

    return [name for name, size in SIZES.items() if not translate or size.family == "transformer"]


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Ends the program where options do not go together."""
    if args.what == "attention" and args.causal and args.mixings:
        parser.error("--mixings is for attention that sees all keys: leave it or --causal out")
    known = known_sizes(args.what == "generate")
    for size in getattr(args, "sizes", "iwslt").split(","):
        if size not in known:
            parser.error(f"--sizes {size}: choose from {', '.join(known)}")
    if args.what == "generate" and bool(args.checkpoint) != bool(args.data):
        parser.error("--checkpoint and --data go together: give the trained model and the data folder of its test set")


def read_systems(
    args: argparse.Namespace, parser: argparse.ArgumentParser
) -> tuple[dict[str, Sequence[str]], dict[str, dict[str, str]]]:
    """Every system's further words of fairseq's command, and its environment where it has one of its own."""
    from fairseq_plugins.benchmark.processes import variant
    from fairseq_plugins.benchmark.sizes import CTRANSLATE2, HUGGINGFACE, JOEYNMT, SIZES, STOCK
    from fairseq_plugins.models.grid import VARIANTS

    known = [STOCK, *VARIANTS, HUGGINGFACE, *([JOEYNMT, CTRANSLATE2] if args.what == "generate" else [])]
    systems: dict[str, Sequence[str]] = {name: [] for name in args.systems.split(",")}
    for name in systems:
        if variant(name) not in known:
            parser.error(f"--systems {name}: choose from {', '.join(known)}, each with +LABEL if you like")
        translates = [size for size in args.sizes.split(",") if SIZES[size].family == "transformer"]
        if variant(name) == HUGGINGFACE and args.what == "train" and translates:
            parser.error(f"--systems {name}: trains RoBERTa; leave {', '.join(translates)} out of --sizes")
    for item in args.set:
        name, _, words = item.partition("=")
        if name not in systems:
            parser.error(f"--set {item}: {name} is none of --systems {args.systems}")
        systems[name] = shlex.split(words)
    environments: dict[str, dict[str, str]] = {}
    for item in args.env:
        name, _, setting = item.partition("=")
        variable, equals, value = setting.partition("=")
        if name not in systems or not variable or not equals:
            parser.error(f"--env {item}: write NAME=VAR=VALUE, NAME one of --systems {args.systems}")
        environments.setdefault(name, {})[variable] = value
    return systems, environments


if __name__ == "__main__":
    sys.exit(main())
