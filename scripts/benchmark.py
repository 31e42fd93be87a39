#!/usr/bin/env python3
"""Time and memory of attention, as ratios measured side by side in one run.

    scripts/benchmark.py attention [--lengths 128,512,2048] [--width 64] [--r 8] [--rounds 7] [--json FILE]

Each mixing is timed against torch's scaled_dot_product_attention on the same inputs: rounds in turn, so that a noisy
machine disturbs all alike, and the median of each. Peak memory is what one call takes beyond its inputs, in a process
of its own on the CPU, relative to one (queries x keys) float32 matrix a head. Run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

#: tokens of a batch: what all its sequences have together
TOKENS = 4096
HEADS = 8


def main() -> int:
    """Read the command line and run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["attention"])
    parser.add_argument("--lengths", default="128,512,2048", metavar="T,T,...", help="queries = keys")
    parser.add_argument("--width", type=int, default=64, metavar="D", help="of a head (default: 64)")
    parser.add_argument("--r", type=int, default=8, help="keys a query (default: 8)")
    parser.add_argument("--swaps", type=int, default=0, help="--attention-value-aware-swaps (default: 0)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="timings of each (default: 7)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the CPU (default: 1)")
    parser.add_argument("--cpu", action="store_true", help="use the CPU even if there is a GPU")
    parser.add_argument("--json", metavar="FILE", help="write the numbers, too")
    parser.add_argument("--peak-of", metavar="MIXING", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak_of:
        print(cpu_peak(args.peak_of, int(args.lengths), args))
        return 0

    import torch

    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    busy = os.getloadavg()[0]
    if busy > 0.7:
        print(f"benchmark: the machine is busy (load {busy:.1f}): the ratios below are rough", file=sys.stderr)
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {args.threads} thread(s)"
    print(
        f"torch {torch.__version__}, {name}; float32, D = {args.width}, r = {args.r}, {HEADS} heads, {TOKENS} tokens\n"
    )
    rows = [row for length in map(int, args.lengths.split(",")) for row in measure(length, args, device)]
    print(table(rows))
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(length: int, args: argparse.Namespace, device: str) -> List[Dict[str, Any]]:
    """Time and memory of every mixing at one length."""
    calls = build_calls(length, args, device)
    for call in calls.values():
        call()
    times: Dict[str, List[float]] = {name: [] for name in calls}
    for _ in range(args.rounds):
        for name, call in calls.items():
            times[name].append(timed(call, device))
    medians = {name: statistics.median(found) for name, found in times.items()}
    heads = max(1, TOKENS // length) * HEADS
    one_matrix = heads * length * length * 4
    return [
        {
            "length": length,
            "mixing": name,
            "seconds": medians[name],
            "ratio": medians[name] / medians["sdpa"],
            "memory": peak_memory(name, length, args, device) / one_matrix,
        }
        for name in calls
    ]


def build_calls(length: int, args: argparse.Namespace, device: str) -> Dict[str, Callable[[], Any]]:
    """``sdpa`` and every mixing on the same random queries, keys and values."""
    import torch
    import torch.nn.functional as F
    from fairseq.modules.fairseq_dropout import FairseqDropout

    from fairseq_plugins.analysis.measure import build_mixing
    from fairseq_plugins.attention.masks import AttentionMask
    from fairseq_plugins.attention.stages import KERNEL, MIXING

    torch.manual_seed(1)
    shape = (max(1, TOKENS // length), HEADS, length, args.width)
    q, k, v = (torch.randn(shape, device=device) for _ in range(3))
    kernel, dropout = KERNEL["exp"](None), FairseqDropout(0.0).eval()

    def of(mixing: Any) -> Callable[[], Any]:
        def call() -> Any:
            with torch.no_grad():
                return mixing.attend(kernel, q, k, v, AttentionMask(), dropout, False)

        return call

    calls: Dict[str, Callable[[], Any]] = {"sdpa": lambda: F.scaled_dot_product_attention(q, k, v)}
    for name in MIXING.choices:
        options = {"attention_value_aware_swaps": args.swaps} if name == "value-aware-r" else {}
        calls[name] = of(build_mixing(name, args.r, **options))
    return calls


def timed(call: Callable[[], Any], device: str) -> float:
    """Seconds of one call."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(name: str, length: int, args: argparse.Namespace, device: str) -> int:
    """Bytes that one call takes beyond what was there before it."""
    import torch

    if device == "cuda":
        call = build_calls(length, args, device)[name]
        call()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    # a fresh process: what the others' calls have left in the allocator would hide this one's
    options = ["--lengths", length, "--width", args.width, "--r", args.r, "--swaps", args.swaps]
    command = [sys.executable, __file__, "attention", *options, "--threads", args.threads, "--peak-of", name]
    done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1])


def cpu_peak(name: str, length: int, args: argparse.Namespace) -> int:
    """How much one call raises the peak of resident memory of this process (Linux), in bytes."""
    import torch

    torch.set_num_threads(args.threads)
    build_calls(128, args, "cpu")[name]()  # libraries load what they need
    call = build_calls(length, args, "cpu")[name]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmHWM")
    call()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """A figure of this process's memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def table(rows: List[Dict[str, Any]]) -> str:
    """Markdown: a line for each length and mixing."""
    lines = ["| T | mixing | time | relative to sdpa | peak memory / (T x T matrices) |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['length']} | {row['mixing']} | {row['seconds'] * 1000:.1f} ms | {row['ratio']:.2f} | "
            f"{row['memory']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
