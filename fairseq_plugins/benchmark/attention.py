"""Time and memory of attention alone: every mixing against torch's ``scaled_dot_product_attention``.

With ``--causal``: a decoder's self-attention over a batch with padding, its masks included and its projections left
out, against torch's causal attention without padding.

Rounds in turn, so that a noisy machine disturbs all alike, and the median of each. Peak memory is what one call takes
beyond its inputs, in a process of its own on the CPU, relative to one (queries x keys) float32 matrix a head.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq_plugins.report.tables import markdown_table

from .processes import GateError
from .worker import resident

#: tokens of a batch: what all its sequences have together
TOKENS = 4096
HEADS = 8
#: difference up to which two attentions in float32 compute the same
TOLERANCE = 1e-4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``benchmark.py attention``."""
    parser.add_argument("--lengths", default="128,512,2048", metavar="T,T,...", help="queries = keys")
    parser.add_argument("--causal", action="store_true", help="a decoder's self-attention over a padded batch instead")
    parser.add_argument("--width", type=int, default=64, metavar="D", help="of a head (default: 64)")
    parser.add_argument("--r", type=int, default=8, help="keys a query (default: 8)")
    parser.add_argument("--mixings", metavar="NAME,...", help="of --attention-mixing (default: all)")
    parser.add_argument("--swaps", type=int, default=0, help="--attention-value-aware-swaps (default: 0)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="timings of each (default: 7)")
    parser.add_argument("--peak-of", metavar="MIXING", help=argparse.SUPPRESS)


def run(args: argparse.Namespace, device: str) -> list[dict[str, Any]]:
    """Time and memory of every mixing at every length, printed as a table."""
    print(f"float32, D = {args.width}, r = {args.r}, {HEADS} heads, {TOKENS} tokens\n")
    rows = [row for length in map(int, args.lengths.split(",")) for row in measure(length, args, device)]
    print(table(rows))
    return rows


def measure(length: int, args: argparse.Namespace, device: str) -> list[dict[str, Any]]:
    """Time and memory of every mixing at one length."""
    calls = build_calls(length, args, device)
    outputs = {name: call() for name, call in calls.items()}
    if args.causal:
        check_text(outputs["sdpa"], outputs["padded"][0])
    times: dict[str, list[float]] = {name: [] for name in calls}
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


def build_calls(length: int, args: argparse.Namespace, device: str) -> dict[str, Callable[[], Any]]:
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
    if args.causal:
        return {
            "sdpa": lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True),
            "padded": padded_self_attention(q),
        }

    def of(mixing: Any) -> Callable[[], Any]:
        def call() -> Any:
            with torch.no_grad():
                return mixing.attend(kernel, q, k, v, AttentionMask(), dropout, False)

        return call

    calls: dict[str, Callable[[], Any]] = {"sdpa": lambda: F.scaled_dot_product_attention(q, k, v)}
    for name in args.mixings.split(",") if args.mixings else MIXING.choices:
        calls[name] = of(build_mixing(name, args.r, attention_value_aware_swaps=args.swaps))
    return calls


def padded_self_attention(q: Any) -> Callable[[], Any]:
    """A decoder's attention of q (B, H, T, D) to itself, a quarter of each second sequence being padding at its end."""
    import torch
    from torch import nn

    from fairseq_plugins.attention import CAUSAL, AttentionConfig

    rows, heads, length, width = q.shape
    config = AttentionConfig()
    module = config.build("decoder", heads * width, heads, self_attention=True, right_padded=True).eval()
    for role in ("q", "k", "v", "out"):
        setattr(module, f"{role}_proj", nn.Identity())
    x = q.permute(2, 0, 1, 3).reshape(length, rows, heads * width)
    padding = torch.zeros(rows, length, dtype=torch.bool, device=q.device)
    padding[1::2, -(length // 4) :] = True

    def call() -> Any:
        with torch.no_grad():
            return module(x, x, x, padding, need_weights=False, attn_mask=CAUSAL)

    return call


def check_text(bare: Any, padded: Any) -> None:
    """bare (B, H, T, D), padded (T, B, C): equal where there is text, since padding stands to its right.

    Raises:
        GateError: they are not.
    """
    rows, _, length, _ = bare.shape
    bare, padded = bare.transpose(1, 2).reshape(rows, length, -1), padded.transpose(0, 1)
    text = length - length // 4
    difference = max((bare[::2] - padded[::2]).abs().max(), (bare - padded)[:, :text].abs().max()).item()
    if difference > TOLERANCE:
        raise GateError(f"the padded attention differs by {difference:.2g} from the bare one; no speed is reported")


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
    options += ["--mixings", args.mixings] if args.mixings else []
    options += ["--causal"] if args.causal else []
    command = [sys.executable, sys.argv[0], "attention", *options, "--threads", args.threads, "--peak-of", name]
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


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each length and mixing."""
    header = ["T", "mixing", "time", "relative to sdpa", "peak memory / (T x T matrices)"]
    lines = []
    for row in rows:
        figures = f"{row['seconds'] * 1000:.1f} ms", f"{row['ratio']:.2f}", f"{row['memory']:.2f}"
        lines.append([str(row["length"]), row["mixing"], *figures])
    return markdown_table(header, lines)
