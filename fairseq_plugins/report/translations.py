"""Runs with a translation (``scripts/generate.sh``) and its score (``scripts/score.sh``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU, CHRF

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import read_lines

from .runs import Run, existing, read_json, read_run


@dataclass
class Translation(Run):
    """One trained model and its translation of a test set."""

    hypotheses: list[str]
    references: list[str]
    tokenizer: str
    #: metric -> score, filled in by :func:`score`
    scores: dict[str, float] = field(default_factory=dict)


def read_translation(folder: str, subset: str = "test", reference: str | None = None) -> Translation:
    """Read a run's folder.

    Raises:
        UserError: something is missing or does not fit together; the message names the file and the remedy.
    """
    run = read_run(folder)
    generated = Path(run.folder) / f"gen.{subset}"
    found = read_json(generated / "score.json", "score it with scripts/score.sh")
    text = existing(generated / Path(found["hypotheses"]).name, found["hypotheses"])
    reference = reference or found["reference"]
    hypotheses, references = list(read_lines(text)), list(read_lines(existing(reference)))
    if len(hypotheses) != len(references):
        raise UserError(f"{text} has {len(hypotheses)} lines but {reference} has {len(references)}")
    return Translation(
        **vars(run), hypotheses=hypotheses, references=references, tokenizer=found["metrics"]["BLEU"].get("tok", "13a")
    )


def score(runs: Sequence[Translation]) -> dict[str, str]:
    """Score every run by BLEU and chrF; returns each metric's signature.

    Raises:
        UserError: the runs translate different references or were tokenised differently.
    """
    for run in runs[1:]:
        if run.references != runs[0].references or run.tokenizer != runs[0].tokenizer:
            raise UserError(f"{run.folder} and {runs[0].folder} were scored on different references or tokenisers")
    metrics = metrics_of(runs[0])
    for run in runs:
        for metric in metrics.values():
            result = metric.corpus_score(run.hypotheses, None)
            run.scores[result.name] = result.score
    return {name: str(metric.get_signature()) for name, metric in zip(runs[0].scores, metrics.values())}


def metrics_of(run: Translation) -> dict[str, Any]:
    """sacreBLEU's metrics against a run's references."""
    references = [run.references]
    return {"BLEU": BLEU(tokenize=run.tokenizer, references=references), "chrF": CHRF(references=references)}
