#!/usr/bin/env python3
"""Run settings of fairseq with stock architectures and with ours of the same name with "baseline", and compare.

Trainings must give the same losses, gradient norms and learning rates in every update, the same validations, the same
checkpoint files and parameters; generation, evaluation and validation must print the same. Stock's side runs without
the plugin, but for the settings of REPAIRED in settings.py. The corpus and the models are tiny, and every command runs
in a fork of this process.

examples:
  python tests/against_stock/compare_with_stock.py                        everything, a few minutes on one core
  python tests/against_stock/compare_with_stock.py --processes 4
  python tests/against_stock/compare_with_stock.py --only 'resumed|beam'  what the expression finds in the names
  python tests/against_stock/compare_with_stock.py --list
  python tests/against_stock/compare_with_stock.py --only 'lm: gpt' --keep FOLDER   keeps logs and checkpoints

It ends with status 1 if any setting disagrees.
"""

import argparse
import os
import re
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parent.parent / "fairseq_plugins"
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from settings import COMMON, DEFAULTS, GENERATIONS, KINDS, LONG_WAY, MODELS, REPAIRED, SUITE, TRAININGS  # noqa: E402
from tiny_training import AT_THE_END  # noqa: E402

SIDES = ("stock", "ours")


@dataclass(frozen=True)
class Setting:
    """One line of the tables: ``commands`` are command lines with places to fill in."""

    name: str
    commands: tuple

    def on(self, side, **places):
        """The commands of a side: lists of a command and its arguments."""
        lines = []
        for line in self.commands:
            words = [word.format(**places) for word in shlex.split(line)]
            if side == "ours":
                words = [_ours(word) if before == "--arch" else word for before, word in zip(["", *words], words)]
            if side == "ours" or self.name in REPAIRED:
                words += ["--user-dir", str(PLUGIN)]
            lines.append(words)
        return lines


def _ours(arch):
    return re.sub(r"^(transformer_lm|transformer|roberta)", r"\1_baseline", arch)


def training(name, kind, runs):
    """The trainings of a setting, and what its kind does with the checkpoint that they leave."""
    corpus, every, use = KINDS[kind]
    lines = []
    for run in (runs,) if isinstance(runs, str) else runs:
        corpus, options = _corpus_and_options(run, corpus)
        options = f"{every} --save-dir {{folder}}/checkpoints {options}"
        for option, value in DEFAULTS.items():
            if option not in options.split():
                options += f" {option} {value}"
        lines.append(f"train {{corpora}}/{corpus} {options}")
    if use and "--no-last-checkpoints" not in options:
        folder = re.findall(r"--save-dir (\S+)", options)[-1]
        lines.append(f"{use} --path {folder}/checkpoint_last.pt".replace("DATA", f"{{corpora}}/{corpus}"))
    return Setting(name, tuple(lines))


def generation(name, line):
    """A use of a model of ``MODELS``."""
    command, model, *options = line.split(" ", 2)
    kind, how = MODELS[model].split(" ", 1)
    corpus, options = _corpus_and_options(" ".join(options), _corpus_and_options(how, KINDS[kind][0])[0])
    common = COMMON[command]
    return Setting(
        name, (f"{command} {{corpora}}/{corpus} --cpu --num-workers 0 {common} --path {{models}}/{model}.pt {options}",)
    )


def _corpus_and_options(options, corpus):
    """Options may begin with a corpus that takes the other's place."""
    first, _, rest = options.partition(" ")
    return (corpus, options) if first.startswith("-") or not first else (first, rest)


def all_settings():
    table = [
        training(f"{kind}: {name}", kind, runs)
        for kind, settings in TRAININGS.items()
        for name, runs in settings.items()
    ]
    return table + [generation(f"use: {name}", line) for name, line in GENERATIONS.items()]


def models_of(settings):
    """The names of the models that settings read."""
    lines = [line for setting in settings for line in setting.commands]
    return sorted({name for line in lines for name in re.findall(r"{models}/([\w-]+)\.pt", line)})


# --- running ----------------------------------------------------------------------------------------------------------


def prepare_stock(name):
    """In a fork: what makes stock usable without the plugin."""
    from fairseq.modules import MultiheadAttention
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

    if name in LONG_WAY:
        MultiheadAttention.skip_embed_dim_check = property(lambda attention: True, lambda attention, value: None)
    if name not in REPAIRED:
        # a fused kernel that today's torch refuses ("Mask Type should be defined"); the layer's own code is right there
        TransformerEncoderLayerBase.can_use_fastpath = property(lambda layer: False, lambda layer, value: None)


def run_setting(setting, side, folder, places):
    """In a fork."""
    import outcomes

    if side == "stock":
        prepare_stock(setting.name)
    os._exit(outcomes.run(setting.on(side, folder=folder, **places), folder) and 1)


def make_models(names, corpora, folder):
    """Train the models of stock and convert them into ours; ``folder/stock/NAME.pt`` and ``folder/ours/NAME.pt``."""
    from outcomes import run

    for side in SIDES:
        (folder / side).mkdir(parents=True)
    for name in names:
        kind, options = MODELS[name].split(" ", 1)
        made = folder / name
        made.mkdir()
        setting = training(name, kind, f"{options} {AT_THE_END}")
        train = Setting(f"model: {name}", setting.commands[:1])
        if run(train.on("stock", corpora=corpora, folder=made, models=folder / "stock"), made):
            sys.exit(f"stock cannot train the model {name!r}:\n{(made / '0.log').read_text()[-3000:]}")
        os.replace(made / "checkpoints" / "checkpoint_last.pt", folder / "stock" / f"{name}.pt")
        _forked(partial(_convert, folder, name), made / "convert.log", f"the model {name!r} cannot be converted")


def _forked(function, log, complaint):
    from running import ended, start

    with open(log, "w") as out:
        if ended(start(function, out)):
            sys.exit(f"{complaint}:\n{log.read_text()[-3000:]}")


def _convert(folder, name):
    sys.path.insert(0, str(PLUGIN.parent))
    from fairseq_plugins.checkpoints.convert import convert_checkpoint

    convert_checkpoint(folder / "stock" / f"{name}.pt", folder / "ours" / f"{name}.pt", "baseline")


def run_all(settings, folder, places, processes):
    """Run both sides of all settings; yields each setting, the folders of its sides and their statuses, when done."""
    from running import start

    waiting = [(setting, side) for setting in settings for side in SIDES]
    waiting.reverse()
    running, done = {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                setting, side = waiting.pop()
                home = folder / re.sub(r"\W+", "-", setting.name) / side
                home.mkdir(parents=True)
                mine = {**places, "models": places["models"] / side}
                with open(home / "log", "w") as log:
                    child = start(partial(run_setting, setting, side, home, mine), log)
                running[child] = (setting, side, home)
            child, status = os.wait()  # each command in it has its own limit of time
            setting, side, home = running.pop(child)
            done.setdefault(setting, {})[side] = (home, status)
            if len(done[setting]) == len(SIDES):
                yield setting, done.pop(setting)
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)


def judge(sides):
    """What a setting's line says, and whether its sides agree."""
    from differences import compare
    from outcomes import read

    failed = []
    for side in SIDES:
        home, status = sides[side]
        if status:
            logs = sorted(home.glob("*.log")) or [home / "log"]
            lines = logs[-1].read_text(errors="replace").strip().splitlines()
            failed.append(f"{side} failed: {lines[-1] if lines else 'without a word'} ({logs[-1]})")
    if failed:
        return "; ".join(failed), False
    stock, ours = (read(sides[side][0]) for side in SIDES)
    result = compare(stock, ours)
    if result.disagreements:
        more = len(result.disagreements) - 3
        told = "".join(f"\n    {text}" for text in result.disagreements[:3])
        return f"DIFFERENT{told}" + (f"\n    and {more} more" if more > 0 else ""), False
    if not result.values:
        return "nothing was compared", False
    where = f" ({result.where})" if result.where else ""
    return f"equal: {result.values} numbers within {result.largest:.0e}{where}", True


# --- the command ------------------------------------------------------------------------------------------------------


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", help="settings whose name this regular expression finds")
    parser.add_argument("--suite", action="store_true", help="the thirtieth of them that the test suite runs")
    parser.add_argument("--list", action="store_true", help="print the settings and their commands, and run nothing")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="run N at a time (default: 1)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep everything in a new folder")
    return parser, parser.parse_args(arguments)


def main(arguments=None):
    # torch's own switch: stock fairseq's checkpoints hold more than tensors, and all that are read here are made here
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    parser, args = parse(arguments)
    if args.processes < 1:
        parser.error("--processes takes a number from 1")
    settings = [s for s in all_settings() if not args.suite or s.name in SUITE]
    settings = [s for s in settings if not args.only or re.search(args.only, s.name)]
    if not settings:
        parser.error(f"no setting has a name with {args.only!r}: see --list")
    if args.list:
        for setting in settings:
            print(f"{setting.name}\n    " + "\n    ".join(" ".join(line.split()) for line in setting.commands))
        return 0

    from warm import warm_up

    warm_up()
    if args.keep:
        args.keep.mkdir(parents=True)  # an old one's outcomes would be mistaken for these
        return compare_all(settings, args.keep.resolve(), args.processes)
    with tempfile.TemporaryDirectory() as folder:
        return compare_all(settings, Path(folder), args.processes)


def compare_all(settings, folder, processes):
    from corpora import write_corpora

    begun = time.monotonic()
    corpora, models = folder / "corpora", folder / "models"
    corpora.mkdir()
    print("binarising the corpus", flush=True)
    _forked(partial(write_corpora, corpora), folder / "corpora.log", "the corpus cannot be written")
    names = models_of(settings)
    print(f"training {len(names)} models that settings share: {', '.join(names) or 'none'}", flush=True)
    make_models(names, corpora, models)

    started, wrong = time.monotonic(), 0
    places = {"corpora": corpora, "models": models}
    for number, (setting, sides) in enumerate(run_all(settings, folder, places, processes), 1):
        told, agreed = judge(sides)
        wrong += not agreed
        left = (time.monotonic() - started) / number * (len(settings) - number)
        note = f" [stock with repairs: {REPAIRED[setting.name]}]" if setting.name in REPAIRED else ""
        print(f"{number}/{len(settings)} ({left:.0f} s left) {setting.name}: {told}{note}", flush=True)
    took = time.monotonic() - begun
    print(f"{len(settings) - wrong} of {len(settings)} settings equal to stock fairseq's, in {took:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
