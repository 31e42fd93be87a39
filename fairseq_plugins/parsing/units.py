"""A parser's scores as functions of its brackets in every sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.results import Member
from fairseq_plugins.report.runs import existing, read_json, read_run
from fairseq_plugins.report.units import Measure, Units, ratio

from .evalb import COLLINS, Counts, count_all
from .score import score_sequences, score_trees
from .trees import read_tree_lines


def _measure(name: str, said: str, part: int, *wholes: int) -> Measure:
    """A ratio in percent (...) of columns of sums (..., 8); of two wholes the mean."""

    def of_sums(sums: np.ndarray) -> np.ndarray:
        return 100 * ratio(len(wholes) * sums[..., part], sums[..., list(wholes)].sum(axis=-1))

    return Measure(name, True, 2, f"{said} by EVALB's conventions with the parameters of COLLINS.prm", of_sums)


#: columns: brackets matched, in the gold tree, predicted; complete match, scored; the first three of short sentences
MEASURES = (
    _measure("F1", "labelled bracketing F1", 0, 1, 2),
    _measure("recall", "labelled bracketing recall", 0, 1),
    _measure("precision", "labelled bracketing precision", 0, 2),
    _measure("complete match", "sentences with no wrong bracket", 3, 4),
    _measure("F1, up to 40 words", "labelled bracketing F1 of sentences of up to 40 words", 5, 6, 7),
)


def bracket_units(folder: PathLike, subset: str = "test", gold: PathLike | None = None) -> dict[str, Units]:
    """EVALB's scores of a run that ``fairseq-plugins parse-score`` has scored, by sentences; ``F1`` is the first one.

    Args:
        gold: its trees, if they are no longer where they were.

    Raises:
        UserError: a file is missing or damaged, or the sentences differ; the message names it.
    """
    generated = Path(folder) / f"gen.{subset}"
    found = read_json(generated / "evalb.json", "score the run with fairseq-plugins parse-score --json")
    trees_file = existing(gold or found["gold"])
    hypotheses = existing(generated / Path(found["hypotheses"]).name, found["hypotheses"])
    scored = (score_sequences if "repaired" in found else score_trees)(trees_file, hypotheses)
    counts = count_all(read_tree_lines(trees_file), scored.trees)
    sums = np.array([_columns(sentence) for sentence in counts], dtype=np.float64)
    return {measure.name: Units(measure, sums) for measure in MEASURES}


def _columns(sentence: Counts) -> list[int]:
    brackets = [sentence.matched, sentence.gold, sentence.predicted]
    complete = sentence.scored and sentence.matched == sentence.gold == sentence.predicted
    short = sentence.length <= COLLINS.cutoff
    return [*brackets, complete, sentence.scored, *(short * number for number in brackets)]


def parser_member(folder: PathLike, subset: str = "test") -> Member:
    """A parser's run as one of a comparison; errors as :func:`bracket_units`."""
    return Member(read_run(folder), bracket_units(folder, subset))
