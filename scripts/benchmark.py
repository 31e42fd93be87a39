#!/usr/bin/env python3
"""Speed and memory as ratios that are measured side by side in one run.

    scripts/benchmark.py train [--sizes iwslt,wmt-base] [--systems stock,baseline,neuralqkv,symmetric,pairwise]
    scripts/benchmark.py attention [--lengths 128,512,2048]

train: updates of stock fairseq and of this plugin on the same batches, each system in a process of its own, in turn.
A system NAME is stock, or a variant of the grid; NAME+LABEL with --set NAME+LABEL=OPTIONS measures it with other
options of fairseq-train. No figure is printed for a system that does not compute what its control does.

attention: every mixing against torch's scaled_dot_product_attention, time and peak memory.

Run nothing else meanwhile.

    scripts/benchmark.py train --sizes tiny --rounds 2
    scripts/benchmark.py train --sizes iwslt --systems stock,baseline,baseline+fused --csv train.csv \\
        --set "baseline+fused=--optimizer fused_adam"
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Dict, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    """Read the command line and run one benchmark."""
    import torch

    from fairseq_plugins.benchmark import attention, report, training
    from fairseq_plugins.benchmark.sizes import SIZES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="what", required=True)
    train = kinds.add_parser("train", help="updates")
    train.add_argument("--sizes", default="iwslt", metavar="SIZE,...", help=f"of {', '.join(SIZES)} (default: iwslt)")
    train.add_argument("--systems", default="stock,baseline,neuralqkv,symmetric,pairwise", metavar="NAME,...")
    train.add_argument("--set", action="append", default=[], metavar="NAME=OPTIONS", help="options of one system")
    train.add_argument("--rounds", type=int, default=3, metavar="N", help="updates of each batch (default: 3)")
    train.add_argument("--batches", type=int, default=3, metavar="N", help="different batches (default: 3)")
    train.add_argument("--csv", metavar="FILE", help="write the numbers, too")
    train.add_argument("--plot", metavar="FILE", help="and a picture of the ratios")
    alone = kinds.add_parser("attention", help="attention alone")
    attention.add_arguments(alone)
    for kind in (train, alone):
        kind.add_argument("--threads", type=int, default=1, metavar="N", help="of the CPU (default: 1)")
        kind.add_argument("--cpu", action="store_true", help="use the CPU even if there is a GPU")
        kind.add_argument("--json", metavar="FILE", help="write the numbers, too")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    if getattr(args, "peak_of", None):
        print(attention.cpu_peak(args.peak_of, int(args.lengths), args))
        return 0
    device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    busy = os.getloadavg()[0]
    if busy > 0.7:
        print(f"benchmark: the machine is busy (load {busy:.1f}): the ratios below are rough", file=sys.stderr)
    print(report.machine(device, args.threads))
    if args.what == "attention":
        rows = attention.run(args, device)
    else:
        chosen = dict(item.split("=", 1) for item in args.set)
        systems: Dict[str, Sequence[str]] = {
            name: shlex.split(chosen.get(name, "")) for name in args.systems.split(",")
        }
        try:
            rows = report.training(args, systems, device)
        except training.GateError as error:
            print(f"benchmark: error: {error}", file=sys.stderr)
            return 1
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
