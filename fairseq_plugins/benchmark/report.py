"""What was measured, as tables, CSV and a picture."""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Sequence

import torch

from .sizes import STOCK
from .training import measure


def machine(device: str, threads: int) -> str:
    """One line: versions and device."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, {threads} thread(s)"
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, fairseq {metadata.version('fairseq')}, {name}"
    )


def processor() -> str:
    """The CPU's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "CPU"


def peak_flops(device: str, dtype: torch.dtype = torch.float32, width: int = 2048) -> float:
    """Floating-point operations a second of a large matrix product, the best of several."""
    first, second = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        first @ second
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * width**3 / best


def training(args: argparse.Namespace, systems: Dict[str, Sequence[str]], device: str) -> List[Dict[str, Any]]:
    """Measure updates at each size; prints a table for each, and writes what ``args`` ask for."""
    peak = peak_flops(device)
    print(f"peak of a matrix product: {peak / 1e9:,.0f} GFLOP/s\n")
    rows: List[Dict[str, Any]] = []
    for size in args.sizes.split(","):

        def say(text: str, size: str = size) -> None:
            print(f"benchmark: {size}: {text}", file=sys.stderr)

        results = measure(size, systems, args.rounds, args.batches, args.threads, device, say)
        control = next((result for result in results if result.system == STOCK), results[0])
        for result in results:
            rows.append(
                {
                    "size": size,
                    "system": result.system,
                    "parameters": result.parameters,
                    "seconds": result.seconds,
                    "tokens/s": result.tokens_per_second,
                    "speed": result.tokens_per_second / control.tokens_per_second,
                    "memory": result.memory,
                    "memory ratio": result.memory / control.memory,
                    "GFLOP/s": result.flops_per_token * result.tokens_per_second / 1e9,
                    "share of peak": result.flops_per_token * result.tokens_per_second / peak,
                }
            )
        print(table([row for row in rows if row["size"] == size], control.system))
    if args.csv:
        with open(args.csv, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    if args.plot:
        plot(rows, args.plot)
    return rows


def table(rows: List[Dict[str, Any]], control: str) -> str:
    """Markdown: a line for each system."""
    lines = [
        f"| size | system | parameters | update | tokens/s | speed / {control} | peak memory | / {control} | GFLOP/s "
        "(share of peak) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['size']} | {row['system']} | {row['parameters']:,} | {row['seconds'] * 1000:.0f} ms | "
            f"{row['tokens/s']:,.0f} | {row['speed']:.2f} | {row['memory'] / 1e6:,.0f} MB | "
            f"{row['memory ratio']:.2f} | {row['GFLOP/s']:.0f} ({100 * row['share of peak']:.0f} %) |"
        )
    return "\n".join(lines) + "\n"


def plot(rows: List[Dict[str, Any]], path: str) -> None:
    """Bars: speed relative to the control, a group for each size."""
    from matplotlib.figure import Figure

    sizes = list(dict.fromkeys(row["size"] for row in rows))
    systems = list(dict.fromkeys(row["system"] for row in rows))
    figure = Figure(figsize=(2 + 1.2 * len(sizes) * max(2, len(systems) / 3), 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(systems)
    for place, system in enumerate(systems):
        found = {row["size"]: row["speed"] for row in rows if row["system"] == system}
        at = [index + (place - (len(systems) - 1) / 2) * width for index in range(len(sizes))]
        axes.bar(at, [found.get(size, 0.0) for size in sizes], width, label=system)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_ylabel("updates relative to the control")
    axes.legend()
    figure.savefig(path, dpi=110)
