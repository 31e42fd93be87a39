"""The nine tasks of GLUE: where their texts and labels stand, and how they are scored."""

from __future__ import annotations

from dataclasses import dataclass

from fairseq_plugins.errors import UserError


@dataclass(frozen=True)
class Task:
    """One task.

    Columns are named as in the header line of the task's files, so that other files are noticed.
    """

    #: also the name of its folder
    name: str
    #: the columns of one text, or of a pair
    texts: tuple[str, ...]
    label: str
    #: the metrics whose mean is the task's score
    score: tuple[str, ...]
    #: the labels, in the order of the model's outputs; none for regression
    classes: tuple[str, ...] = ()
    #: the class whose F1 counts
    positive: str = ""
    #: the columns of files that have no header line
    columns: tuple[str, ...] = ()
    #: development set (the name in tables) -> its file; the first is fairseq's ``valid``, the next ``valid1``
    dev: tuple[tuple[str, str], ...] = ()
    #: the release is known to hold rows without all of their fields: drop them, and say so
    drops_incomplete_rows: bool = False
    #: counts in the average over tasks
    averaged: bool = True

    @property
    def is_regression(self) -> bool:
        return not self.classes

    @property
    def sets(self) -> dict[str, str]:
        """fairseq's name of each set -> the stem of its file."""
        valid = {f"valid{number or ''}": stem for number, (_, stem) in enumerate(self.dev)}
        return {"train": "train", **valid}

    @property
    def dev_names(self) -> dict[str, str]:
        """fairseq's name of each development set -> its name in tables."""
        return {f"valid{number or ''}": name for number, (name, _) in enumerate(self.dev)}


#: the range of the similarity scores of STS-B; fairseq's recipe trains on scores divided by it
STS_B_RANGE = 5.0

_ENTAILMENT = ("entailment", "not_entailment")


def _task(name: str, texts: tuple[str, ...], label: str, score: tuple[str, ...], **settings: object) -> Task:
    return Task(name, texts, label, score, **{"dev": ((name, "dev"),), **settings})  # type: ignore[arg-type]


#: in the order of the tables of Courtois et al. (2024)
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _task("MRPC", ("#1 String", "#2 String"), "Quality", ("accuracy", "f1"), classes=("0", "1"), positive="1"),
        _task(
            "CoLA",
            ("sentence",),
            "acceptable",
            ("matthews",),
            classes=("0", "1"),
            columns=("source", "acceptable", "author's mark", "sentence"),
        ),
        _task(
            "MNLI",
            ("sentence1", "sentence2"),
            "gold_label",
            ("accuracy",),
            classes=("entailment", "neutral", "contradiction"),
            dev=(("MNLI-m", "dev_matched"), ("MNLI-mm", "dev_mismatched")),
        ),
        _task(
            "QQP",
            ("question1", "question2"),
            "is_duplicate",
            ("accuracy", "f1"),
            classes=("0", "1"),
            positive="1",
            drops_incomplete_rows=True,
        ),
        _task("RTE", ("sentence1", "sentence2"), "label", ("accuracy",), classes=_ENTAILMENT),
        _task("STS-B", ("sentence1", "sentence2"), "score", ("pearson", "spearman")),
        _task("QNLI", ("question", "sentence"), "label", ("accuracy",), classes=_ENTAILMENT),
        _task("SST-2", ("sentence",), "label", ("accuracy",), classes=("0", "1")),
        # its development set contradicts its training set; the papers leave it out of their averages
        _task("WNLI", ("sentence1", "sentence2"), "label", ("accuracy",), classes=("0", "1"), averaged=False),
    )
}

#: development sets in the order of the table's columns -> their task
DEV_SETS: dict[str, Task] = {name: task for task in TASKS.values() for name, _ in task.dev}


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UserError: there is none.
    """
    if name not in TASKS:
        raise UserError(f"unknown GLUE task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]
