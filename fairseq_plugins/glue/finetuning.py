"""What the fine-tuning of a pretrained checkpoint takes, task by task."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fairseq_plugins.lines import CorpusError, PathLike
from fairseq_plugins.runtime.durable import write_whole

from .pretrained import Pretrained
from .tasks import TASKS, Task, find_task

HEAD = "sentence_classification_head"


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters; the defaults are those of Courtois et al. (2024).

    What the paper does not give is as Hugging Face's Trainer and BERT do by default: AdamW with betas 0.9 and 0.999,
    epsilon 1e-8 and no weight decay, gradients clipped to norm 1, linear decay to 0, dropout 0.1 before the classifier,
    and the model of the last update.
    """

    lr: float = 1e-5
    epochs: int = 5
    batch: int = 16
    #: part of the updates over which the learning rate rises
    warmup: float = 0.1


@dataclass(frozen=True)
class FineTuning:
    """The fine-tuning of one task."""

    task: Task
    #: the prepared data
    data: Path
    updates: int
    #: tokens of all epochs: what a run costs
    tokens: int
    arch: str
    #: tokens of a batch at most, padding included
    max_tokens: int
    #: tokens of the longest example
    longest: int
    #: further options of fairseq-train
    options: list[str]


def prepared_tasks(data: PathLike) -> dict[str, Path]:
    """The tasks that ``scripts/prepare_glue.sh`` left in a folder -> their data."""
    return {name: Path(data) / f"{name}-bin" for name in TASKS if (Path(data) / f"{name}-bin" / "task.json").is_file()}


def fine_tunings(
    pretrained: Pretrained, data: PathLike, names: Sequence[str] = (), settings: Settings = Settings()
) -> tuple[list[FineTuning], list[str]]:
    """The fine-tuning of every task, and the names of the tasks that are not there.

    Args:
        data: the folder that ``scripts/prepare_glue.sh`` wrote.
        names: only these tasks; all must be there. None: those that are there.

    Raises:
        CorpusError: a task, or all of them, is missing.
        CheckpointError: the data was made with another dictionary than the checkpoint's.
        UserError: there is no such task.
    """
    there = prepared_tasks(data)
    chosen = [find_task(name).name for name in names] or list(there)
    for name in chosen:
        if name not in there:
            raise CorpusError(f"{data}: no {name}-bin in it; prepare {name} with scripts/prepare_glue.sh")
    if not chosen:
        raise CorpusError(f"{data}: no TASK-bin in it; give the folder that scripts/prepare_glue.sh wrote")
    found = [_fine_tuning(pretrained, TASKS[name], there[name], settings) for name in chosen]
    return found, [name for name in TASKS if name not in there]


def _fine_tuning(pretrained: Pretrained, task: Task, data: Path, settings: Settings) -> FineTuning:
    pretrained.check_dictionary(data / "input0" / "dict.txt")
    record = json.loads((data / "task.json").read_text(encoding="utf-8"))
    train = record["sets"]["train"]
    updates = settings.epochs * math.ceil(train["rows"] / settings.batch)
    length = min(record["max_length"], pretrained.max_positions)
    target = ["--num-classes", "1", "--regression-target"] if task.is_regression else []
    options = [
        *pretrained.options,
        *("--pooler-dropout", "0.1"),
        *("--task", "sentence_prediction", "--criterion", "sentence_prediction"),
        *(target or ["--num-classes", str(len(task.classes))]),
        *("--classification-head-name", HEAD),
        *("--init-token", "0", "--separator-token", "2"),
        # the model must be as long as the pretrained one; what is longer than that is cut
        *("--max-positions", str(pretrained.max_positions), "--shorten-method", "truncate"),
        *("--finetune-from-model", str(pretrained.path)),
        *("--batch-size", str(settings.batch), "--required-batch-size-multiple", "1"),
        *("--optimizer", "adam", "--adam-betas", "(0.9, 0.999)", "--adam-eps", "1e-08"),
        *("--weight-decay", "0", "--clip-norm", "1.0"),
        *("--lr", f"{settings.lr:g}", "--lr-scheduler", "polynomial_decay"),
        *("--warmup-updates", str(math.ceil(settings.warmup * updates)), "--total-num-update", str(updates)),
        # the scores are those of the last update: nothing is chosen by the development set
        *("--disable-validation", "--no-epoch-checkpoints"),
    ]
    return FineTuning(
        task,
        data,
        updates,
        tokens=settings.epochs * train["tokens"],
        arch=pretrained.arch,
        max_tokens=settings.batch * length,
        longest=max(found["longest"] for found in record["sets"].values()),
        options=options,
    )


def keep_settings(path: PathLike, pretrained: Pretrained, settings: Settings, options: Sequence[str] = ()) -> None:
    """Write what all runs of a folder have in common, or check that it is what stands there already.

    Args:
        path: the file.
        options: further options of fairseq-train.

    Raises:
        CorpusError: the file says otherwise; the message names the first difference.
    """
    content: dict[str, Any] = {
        "checkpoint": str(pretrained.path),
        "sha256": pretrained.checksum(),
        "arch": pretrained.arch,
        "parameters": pretrained.parameters,
        **asdict(settings),
        "options": list(options),
    }
    file, remedy = Path(path), "choose another folder for these"
    if file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))
        if known.get("sha256") != content["sha256"]:
            raise CorpusError(f"{file}: the runs there are of another checkpoint, {known.get('checkpoint')}; {remedy}")
        for name, value in content.items():
            if name != "checkpoint" and known.get(name) != value:
                raise CorpusError(f"{file}: the runs there have {name} {known.get(name)}, not {value}; {remedy}")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, (json.dumps(content, indent=2) + "\n").encode("utf-8"))
