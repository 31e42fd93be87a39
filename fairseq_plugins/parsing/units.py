"""A parser's F1 as a function of its brackets in every sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.runs import existing, read_json
from fairseq_plugins.report.units import Measure, Units, ratio

from .evalb import count_all
from .score import score_sequences, score_trees
from .trees import read_tree_lines


def _f1(sums: np.ndarray) -> np.ndarray:
    """In percent (...), of brackets matched, in the gold trees and predicted (..., 3)."""
    return 100 * ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


F1 = Measure("F1", True, 2, "labelled bracketing F1 by EVALB's conventions with the parameters of COLLINS.prm", _f1)


def bracket_units(folder: PathLike, subset: str = "test", gold: PathLike | None = None) -> dict[str, Units]:
    """``F1`` of a run that ``fairseq-plugins parse-score`` has scored, by sentences.

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
    sums = [(sentence.matched, sentence.gold, sentence.predicted) for sentence in counts]
    return {F1.name: Units(F1, np.array(sums, dtype=np.float64))}
