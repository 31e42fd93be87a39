"""Runs fairseq's commands for one side, stock's or ours, and keeps all that must be the same on both."""

import pickle
import re
from functools import partial
from pathlib import Path

import numpy as np
import torch
from running import call, ended, start

#: what a command says of its results; times and speeds are not among them
SAID = re.compile(
    r"^[A-VX-Z]-[\d_]+\t.*"  # sentences, hypotheses, scores, alignments; W is a time
    r"|Generate \w+ with beam.*"
    r"|Loss \(base 2\).*"
    r"|(?:Evaluated|Translated) .*(?= in \d)"
    r"|^INFO:fairseq_cli.eval_lm:(?:\d+ |\S+\t).*"  # probabilities of words, and what is known of them
    r"|[\d,]+ samples have invalid sizes.*"
    r"|early stop since.*",
    flags=re.M,
)
#: parameters that stock's fused encoder layers keep twice, and biases that change no attention weight: of their
#: gradients, which are 0, rounding errors are left, and some optimizers make steps of them
IGNORED = re.compile(r"layers\.\d+\.(in_proj|out_proj|fc1|fc2)_(weight|bias)$|k_proj\.bias$|_float_tensor$")


def run(commands, folder):
    """Each command in a fork of its own; ``folder`` gets a log and the records of each, ``N.log`` and ``N.records``.

    Returns the status of the last one that was run: none is after one that fails.
    """
    for number, (command, *arguments) in enumerate(commands):
        with open(folder / f"{number}.log", "w") as log:
            status = ended(start(partial(_recorded, folder / f"{number}.records", command, arguments), log))
        if status:
            return status
    return 0


def read(folder):
    """The outcome of :func:`run`: a list of (what it is, value); values are numbers, arrays, texts, and lists of names.

    Two sides that compute the same have the same list, but for rounding in numbers, in arrays and in texts' numbers.
    """
    outcome = []
    for records in sorted(folder.glob("*.records")):
        outcome += pickle.loads(records.read_bytes())
        for line in SAID.findall(records.with_suffix(".log").read_text(errors="replace")):
            outcome.append((re.split(r"[\t ]", line)[0], line))
    for written in sorted(folder.glob("results/*")):
        outcome += [(written.name, line) for line in SAID.findall(written.read_text())]
    checkpoints = sorted(folder.glob("checkpoints/**/*.*"))
    outcome.append(("files", [str(path.relative_to(folder)) for path in checkpoints]))
    for path in checkpoints:
        if path.suffix == ".pt":
            outcome += _contents(path)
    return outcome


def _contents(path):
    # the file was written a moment ago by a command of ours
    state = torch.load(path, map_location="cpu")
    extra = state.get("extra_state") or {}
    for what in ("best", "val_loss"):
        if isinstance(extra.get(what), (int, float)):
            yield f"{path.name} {what}", extra[what]
    iterator = extra.get("train_iterator") or {}
    place = {what: iterator.get(what) for what in ("epoch", "iterations_in_epoch", "shuffle")}
    yield f"{path.name} iterator", str(place)
    if state.get("optimizer_history"):
        yield f"{path.name} updates", state["optimizer_history"][-1]["num_updates"]
    weights = {**state["model"], **{f"ema {name}": value for name, value in (extra.get("ema") or {}).items()}}
    for name, value in sorted(weights.items()):
        if not IGNORED.search(name):
            yield f"{path.name} {name}", value.numpy()


def _recorded(path, command, arguments):
    """The command, with what each update and each validation computes written to a file."""
    from fairseq.tasks import FairseqTask
    from fairseq.trainer import Trainer

    records = []
    reduce_metrics, clip = FairseqTask.reduce_metrics, Trainer.clip_grad_norm

    def reduce_and_record(task, logs, criterion):
        for log in logs:
            for name, value in sorted(log.items()):
                if isinstance(value, (int, float, np.ndarray, torch.Tensor)):
                    records.append((name, np.array(value, dtype=float)))
        return reduce_metrics(task, logs, criterion)

    def clip_and_record(trainer, *args, **kwargs):
        norm = clip(trainer, *args, **kwargs)
        records.extend([("learning rate", trainer.get_lr()), ("gradient norm", float(norm))])
        return norm

    FairseqTask.reduce_metrics, Trainer.clip_grad_norm = reduce_and_record, clip_and_record
    try:
        call(command, *arguments)
    finally:
        Path(path).write_bytes(pickle.dumps(records))
