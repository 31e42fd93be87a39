"""What was measured, as tables, CSV and a picture."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from fairseq_plugins.report.plots import new_figure, save
from fairseq_plugins.report.tables import csv_table, markdown_table
from fairseq_plugins.runtime.durable import write_whole

from . import compare_decoding, compare_training
from .machine import peak_flops
from .processes import Comparison, Say, label, variant
from .profiling import breakdown
from .sizes import HUGGINGFACE, STOCK

Row = dict[str, Any]
#: a column's title, and its text in a row
Column = tuple[str, Callable[[Row], str]]
Measured = TypeVar("Measured", compare_training.Result, compare_decoding.Result)


def say_on_stderr(what: str) -> Say:
    """Progress of what is measured."""
    return lambda text: print(f"benchmark: {what}: {text}", file=sys.stderr)


def train(args: argparse.Namespace, comparison: Comparison) -> list[Row]:
    """Measure updates at each size; prints tables for each, and writes what ``args`` ask for."""
    peak = peak_flops(comparison.device)
    print(f"peak of a matrix product: {peak / 1e9:,.0f} GFLOP/s\n")
    rows: list[Row] = []
    for size in args.sizes.split(","):
        results = compare_training.measure(size, comparison, args.batches, say_on_stderr(size))
        control = control_of(results)
        found = [
            {
                "size": size,
                "system": result.system,
                "parameters": result.parameters,
                "seconds": result.seconds,
                "tokens/s": result.tokens_per_second,
                "speed": result.tokens_per_second / control.tokens_per_second,
                "memory": result.memory,
                "memory ratio": result.memory / control.memory,
                "FLOP/token": result.flops_per_token,
                "GFLOP/s": result.flops_per_token * result.tokens_per_second / 1e9,
                "share of peak": result.flops_per_token * result.tokens_per_second / peak,
            }
            for result in results
        ]
        compared = comparisons(found)
        columns: list[Column] = [
            ("size", lambda row: row["size"]),
            ("system", lambda row: row["system"]),
            ("parameters", lambda row: f"{row['parameters']:,}"),
            ("update", lambda row: f"{row['seconds'] * 1000:.0f} ms"),
            *speed_columns(control.system),
            ("GFLOP/s (share of peak)", lambda row: f"{row['GFLOP/s']:.0f} ({100 * row['share of peak']:.0f} %)"),
        ]
        print(markdown(found, columns))
        if compared:
            print(markdown(compared, COMPARED))
        print_profile(results, args.profile)
        rows += found
    write(args, rows, "updates relative to the control")
    return rows


def generate(args: argparse.Namespace, comparison: Comparison) -> list[Row]:
    """Measure beam search, at each size or with a trained model; prints a table for each, and writes what was asked."""
    words = ["--beam", str(args.beam), "--max-tokens", str(args.max_tokens)]
    words += ["--batch-size", str(args.batch_size)] if args.batch_size else []
    print(
        f"beam search as fairseq-generate {' '.join(words)}; hypotheses tie where their scores differ by at most "
        f"{compare_decoding.TOLERANCE:g}\n"
    )
    rows: list[Row] = []
    for size in [args.checkpoint] if args.checkpoint else args.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            if args.checkpoint:
                models = compare_decoding.trained_models(folder, args.checkpoint, args.data, comparison.systems)
                words = [*words, "--gen-subset", args.gen_subset]
            else:
                models = compare_decoding.random_models(folder, size, comparison.systems, args.sentences)
            results = compare_decoding.measure(size, models, comparison, words, say_on_stderr(size))
        control = control_of(results)
        found = [
            {
                "size": size,
                "system": result.system,
                "sentences": result.sentences,
                "tokens": result.tokens,
                "seconds": result.seconds,
                "sentences/s": result.sentences / result.seconds,
                "tokens/s": result.tokens / result.seconds,
                "speed": control.seconds / result.seconds,
                "memory": result.memory,
                "memory ratio": result.memory / control.memory,
                "compared with": result.control,
                "equal hypotheses": result.agreement.equal,
                "ties": result.agreement.ties,
            }
            for result in results
        ]
        columns: list[Column] = [
            ("size", lambda row: row["size"]),
            ("system", lambda row: row["system"]),
            ("test set", lambda row: f"{row['seconds']:.2f} s"),
            ("sentences/s", lambda row: f"{row['sentences/s']:.1f}"),
            *speed_columns(control.system),
            ("hypotheses", agreement),
        ]
        print(markdown(found, columns))
        print_profile(results, args.profile)
        rows += found
    write(args, rows, "speed relative to the control")
    return rows


def start(args: argparse.Namespace, device: str) -> list[Row]:
    """Measure how long commands take to start; prints a table, and writes what ``args`` ask for."""
    from .startup import PLUGIN, run

    rows = run(args.rounds, device, say_on_stderr("startup"))
    columns: list[Column] = [
        ("start", lambda row: row["start"]),
        (STOCK, lambda row: f"{row[STOCK]:.2f} s"),
        ("with the plugin", lambda row: f"{row[PLUGIN]:.2f} s"),
        (f"/ {STOCK}", lambda row: f"{row['ratio']:.2f}"),
    ]
    print(markdown(rows, columns))
    write_csv(args, rows)
    return rows


def print_profile(results: Sequence[Measured], number: int) -> None:
    """Where the time of one batch goes, if that was measured: the ``number`` costliest operators, a column a system."""
    profiles: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.profile is not None:
            profiles[result.system] = result.profile
    if not profiles:
        return
    print("one batch under torch's profiler; each operator without those that it calls\n")
    rows: list[Row] = [{"what": what, **seconds} for what, seconds in breakdown(profiles, number)]

    def column(system: str) -> Column:
        whole = profiles[system]["seconds"]
        return system, lambda row: f"{row[system] * 1000:,.0f} ms ({100 * row[system] / whole:.0f} %)"

    print(markdown(rows, [("operator", lambda row: row["what"]), *(column(system) for system in profiles)]))
    for system, profiled in profiles.items():
        if "cache" in profiled:
            print(f"caches of {system}: {profiled['cache']}")


def control_of(results: Sequence[Measured]) -> Measured:
    """What speed and memory are relative to: stock fairseq, or the first where it is not measured."""
    return next((result for result in results if result.system == STOCK), results[0])


def speed_columns(control: str) -> list[Column]:
    """Tokens a second and peak memory, both also relative to the control."""
    return [
        ("tokens/s", lambda row: f"{row['tokens/s']:,.0f}"),
        (f"speed / {control}", lambda row: f"{row['speed']:.2f}"),
        ("peak memory", lambda row: f"{row['memory'] / 1e6:,.0f} MB"),
        (f"/ {control}", lambda row: f"{row['memory ratio']:.2f}"),
    ]


def agreement(row: Row) -> str:
    """How the hypotheses compare with those of another system."""
    if row["system"] == row["compared with"]:
        return ""
    others = row["sentences"] - row["equal hypotheses"] - row["ties"]
    text = f"{row['equal hypotheses']} of {row['sentences']} as {row['compared with']}"
    counts = [f"{number} {what}" for number, what in ((row["ties"], "tied"), (others, "other")) if number]
    return ", ".join([text, *counts])


#: the table of :func:`comparisons`
COMPARED: list[Column] = [
    ("system", lambda row: row["system"]),
    ("control", lambda row: row["control"]),
    ("speed / control", lambda row: f"{row['speed']:.2f}"),
    ("time a token / control", lambda row: f"{1 / row['speed']:.2f}"),
    ("FLOPs a token / control", lambda row: f"{row['FLOPs']:.2f}"),
    ("time / FLOPs", lambda row: f"{1 / row['speed'] / row['FLOPs']:.2f}"),
]


def comparisons(rows: Sequence[Row]) -> list[Row]:
    """Every system beside its own controls, among what was measured, in speed and in FLOPs a token.

    The baseline's control is stock fairseq, a variant's the baseline with the same label and the authors' form of it,
    and that of NAME+LABEL is NAME, too.
    """
    by_name = {row["system"]: row for row in rows}
    found = []
    for name, row in by_name.items():
        for control in own_controls(name):
            other = by_name.get(control)
            if other is not None:
                speed, flops = row["tokens/s"] / other["tokens/s"], row["FLOP/token"] / other["FLOP/token"]
                found.append({"system": name, "control": control, "speed": speed, "FLOPs": flops})
    return found


def own_controls(name: str) -> Iterable[str]:
    """What a system is compared with beside the control of all."""
    kind, given = variant(name), label(name)
    if given == compare_training.AUTHORS or name == STOCK:
        return []
    without = [kind] if given else []
    if kind in (STOCK, "baseline", HUGGINGFACE):
        return [*without, *([STOCK] if kind != STOCK else [])]
    return [*without, f"baseline+{given}" if given else "baseline", f"{kind}+{compare_training.AUTHORS}"]


def markdown(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A table with a line for each row."""
    return markdown_table([title for title, _ in columns], [[text(row) for _, text in columns] for row in rows]) + "\n"


def write(args: argparse.Namespace, rows: Sequence[Row], what: str) -> None:
    """CSV and picture, where ``args`` ask for them."""
    write_csv(args, rows)
    if args.plot:
        plot(rows, args.plot, what)


def write_csv(args: argparse.Namespace, rows: Sequence[Row]) -> None:
    """A line for each row, where ``args`` ask for it."""
    if args.csv:
        write_whole(args.csv, csv_table(list(rows[0]), [list(row.values()) for row in rows]).encode())


def plot(rows: Sequence[Row], path: str, what: str) -> None:
    """Bars: speed relative to the control, a group for each size."""
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    systems = list(dict.fromkeys(row["system"] for row in rows))
    figure, axes = new_figure(figsize=(2 + 1.2 * len(sizes) * max(2, len(systems) / 3), 4), layout="constrained")
    width = 0.8 / len(systems)
    for place, system in enumerate(systems):
        found = {row["size"]: row["speed"] for row in rows if row["system"] == system}
        at = [index + (place - (len(systems) - 1) / 2) * width for index in range(len(sizes))]
        axes.bar(at, [found.get(size, 0.0) for size in sizes], width, label=system)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_ylabel(what)
    figure.legend(loc="outside lower center", ncols=2)
    save(figure, path, dpi=110)
