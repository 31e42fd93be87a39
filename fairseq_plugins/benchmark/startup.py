"""How long fairseq's commands take to start, with the plugin and without it, and a training to its first update."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .processes import GateError, Say
from .sizes import SIZES, STOCK, write_dictionaries

PLUGIN = "plugin"
USER_DIR = ["--user-dir", str(Path(__file__).resolve().parent.parent)]
TRAIN, GENERATE = "fairseq_cli.train", "fairseq_cli.generate"
#: what fairseq-train logs after an update
FIRST_UPDATE = "train_inner"
OPTIONS = (
    "-s de -t en --encoder-layers 2 --decoder-layers 2 --encoder-embed-dim 64 --decoder-embed-dim 64 --optimizer adam "
    "--lr 0.001 --criterion cross_entropy --max-tokens 1000 --log-interval 1 --log-format simple --max-update 1 "
    "--no-save --disable-validation"
)


class Start(NamedTuple):
    """What is started.

    Attributes:
        name: for the table.
        words: system -> words of ``python``.
        until: the clock stops at the first line that holds this; at the end of the process where it is None.
    """

    name: str
    words: Mapping[str, Sequence[str]]
    until: str | None = None


def help_of(command: str) -> Start:
    """``fairseq-train --help`` or ``fairseq-generate --help``."""
    name = command.replace("_cli.", "-")
    return Start(f"{name} --help", {STOCK: ["-m", command, "--help"], PLUGIN: ["-m", command, *USER_DIR, "--help"]})


def first_update(data: str, device: str) -> Start:
    """A training of a small model to its first update."""
    options = [*OPTIONS.split(), *(["--cpu"] if device == "cpu" else [])]
    return Start(
        "fairseq-train to its first update",
        {
            STOCK: ["-m", TRAIN, data, "--arch", "transformer_iwslt_de_en", *options],
            PLUGIN: ["-m", TRAIN, data, *USER_DIR, "--arch", "transformer_baseline_iwslt_de_en", *options],
        },
        FIRST_UPDATE,
    )


def with_repairs(start: Start) -> Start:
    """The same with stock fairseq run after the plugin's repairs, for a torch or numpy that it does not run on."""
    module, *rest = start.words[STOCK][1:]
    code = f"import fairseq_plugins.models; from {module} import cli_main; cli_main()"
    return Start(f"{start.name} (stock with our repairs)", {**start.words, STOCK: ["-c", code, *rest]}, start.until)


def runs(words: Sequence[str], until: str | None) -> bool:
    """Whether a command succeeds."""
    try:
        seconds(words, until)
    except GateError:
        return False
    return True


def seconds(words: Sequence[str], until: str | None = None) -> float:
    """How long ``python words...`` takes, to its end or until it prints a line with ``until``.

    Raises:
        GateError: it fails before.
    """
    # fairseq was compiled when it was installed: this plugin is, too, unless Python is told to keep no bytecode
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        if until is not None and until in line:
            taken = time.perf_counter() - start
            process.kill()
            process.communicate()
            return taken
        last = line.strip() or last
    taken = time.perf_counter() - start
    if process.wait() or until is not None:
        raise GateError(f"python {' '.join(words[:3])} ...: {last}")
    return taken


def measure(starts: Sequence[Start], rounds: int, say: Say = None) -> list[dict[str, Any]]:
    """Rows: medians over ``rounds`` starts of each system in turn, after one that is not counted.

    Raises:
        GateError: a command fails even with our repairs.
    """
    rows = []
    for start in starts:
        # this first run of each fills the page cache, too
        chosen = start if runs(start.words[STOCK], start.until) else with_repairs(start)
        for words in chosen.words.values():
            seconds(words, chosen.until)
        found: dict[str, list[float]] = {system: [] for system in chosen.words}
        for _ in range(rounds):
            for system, words in chosen.words.items():
                found[system].append(seconds(words, chosen.until))
        stock, plugin = (statistics.median(found[system]) for system in (STOCK, PLUGIN))
        rows.append({"start": chosen.name, STOCK: stock, PLUGIN: plugin, "ratio": plugin / stock})
        if say is not None:
            say(f"{chosen.name}: {rounds} starts of each")
    return rows


def run(rounds: int, device: str, say: Say = None) -> list[dict[str, Any]]:
    """Measure all starts; see :func:`measure`."""
    from .workload import write_sentences

    with tempfile.TemporaryDirectory() as data:
        write_dictionaries(data, SIZES["tiny"].vocabulary)
        for split in ("train", "valid"):
            write_sentences(data, SIZES["tiny"], 200, split)
        return measure([help_of(TRAIN), help_of(GENERATE), first_update(data, device)], rounds, say)
