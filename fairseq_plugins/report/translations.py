"""Runs with a translation (``scripts/generate.sh``) and its score (``scripts/score.sh``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import read_lines

from . import sacrebleu_sums
from .runs import Run, existing, read_json, read_run
from .units import Measure, Units, ratio

#: metric -> whether higher is better, and its function of sums
OF_SUMS = {
    "BLEU": (True, sacrebleu_sums.bleu),
    "chrF2": (True, sacrebleu_sums.chrf),
    "TER": (False, sacrebleu_sums.ter),
}


@dataclass
class Translation(Run):
    """One trained model and its translation of a test set."""

    hypotheses: list[str]
    references: list[str]
    tokenizer: str


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


def check_comparable(runs: Sequence[Translation]) -> None:
    """Look whether the runs translate the same text.

    Raises:
        UserError: they translate different references or were tokenised differently.
    """
    for run in runs[1:]:
        if run.references != runs[0].references or run.tokenizer != runs[0].tokenizer:
            raise UserError(f"{run.folder} and {runs[0].folder} were scored on different references or tokenisers")


def metrics_of(run: Translation, with_ter: bool = False) -> dict[str, Any]:
    """sacreBLEU's metrics against a run's references; TER takes some hundred times as long as the others."""
    references = [run.references]
    metrics = {"BLEU": BLEU(tokenize=run.tokenizer, references=references), "chrF2": CHRF(references=references)}
    return {**metrics, "TER": TER(references=references)} if with_ter else metrics


def translation_units(run: Translation, metrics: Mapping[str, Any]) -> dict[str, Units]:
    """Name -> a run's statistics by sentence, as sacreBLEU counts them.

    Args:
        metrics: those of :func:`metrics_of` a run with the same references, made once for all runs.
    """
    found = {}
    for name, metric in metrics.items():
        # what sacreBLEU's own tests of significance draw from
        statistics = metric._extract_corpus_statistics(run.hypotheses, None)
        better, of_sums = OF_SUMS[name]
        measure = Measure(name, better, 2, str(metric.get_signature()), of_sums)
        found[name] = Units(measure, np.asarray(statistics, dtype=np.float64))
    return found


def words_of(lines: Iterable[str], tokenizer: str) -> list[list[str]]:
    """Lines as words, by one of sacreBLEU's tokenisers."""
    tokenize = BLEU(tokenize=tokenizer).tokenizer
    return [tokenize(line.rstrip()).split() for line in lines]


def length_ratio(bleu: Units) -> float:
    """Words of the hypotheses by words of the references, as BLEU's tokeniser has them; 0 without references."""
    return float(ratio(*bleu.sums[:, :2].sum(axis=0)))
