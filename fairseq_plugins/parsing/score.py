"""The score of a parser's output: repaired where need be, compared by EVALB's conventions."""

from __future__ import annotations

from collections import Counter
from collections import Counter as CounterType
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_plugins.lines import CorpusError, PathLike, read_lines

from .evalb import evaluate
from .repair import KINDS, repair
from .trees import Tree, leaves, read_tree_lines


class Scored(NamedTuple):
    """A score as plain data, and the trees that it is of."""

    score: dict[str, Any]
    trees: list[Tree]


def score_sequences(gold_file: PathLike, hypotheses: PathLike) -> Scored:
    """Score a model's sequences, one a line, against gold trees, one a line.

    The model writes no tags: its trees get the gold ones, so that EVALB deletes the same punctuation from both.

    Raises:
        CorpusError: a file cannot be read, or has not as many lines as the other.
    """
    gold = read_tree_lines(gold_file)
    lines = list(read_lines(hypotheses))
    if len(lines) != len(gold):
        raise CorpusError(f"{hypotheses} has {len(lines)} lines but {gold_file} has {len(gold)}; translate again")
    repaired = [repair(line.split(), leaves(tree)) for line, tree in zip(lines, gold)]
    trees = [tree for tree, _ in repaired]
    occurrences: CounterType[str] = Counter()
    sentences: CounterType[str] = Counter()
    for _, repairs in repaired:
        occurrences.update(repairs)
        sentences.update(repairs.keys())
    kinds = {kind: {"times": occurrences[kind], "sentences": sentences[kind]} for kind in KINDS if occurrences[kind]}
    repairs_made = {"sentences": sum(bool(repairs) for _, repairs in repaired), "kinds": kinds}
    return Scored({**_score(gold_file, hypotheses, gold, trees), "repaired": repairs_made}, trees)


def score_trees(gold_file: PathLike, hypotheses: PathLike) -> Scored:
    """Score bracketed trees, one a line, with tags of their own.

    Raises:
        CorpusError: a file cannot be read.
        UserError: the sentences differ.
    """
    gold, trees = read_tree_lines(gold_file), read_tree_lines(hypotheses)
    return Scored(_score(gold_file, hypotheses, gold, trees), trees)


def _score(gold_file: PathLike, hypotheses: PathLike, gold: list[Tree], trees: list[Tree]) -> dict[str, Any]:
    files = {"gold": str(Path(gold_file).resolve()), "hypotheses": str(Path(hypotheses).resolve())}
    return {**files, **evaluate(gold, trees)}


def describe(score: dict[str, Any]) -> str:
    """A score in one line."""
    everything, short = score["all"], score["short"]
    parts = [
        f"F1 {everything['f1']:.2f}",
        f"recall {everything['recall']:.2f}",
        f"precision {everything['precision']:.2f}",
        f"complete match {everything['complete match']:.2f}",
        f"average crossing {everything['average crossing']:.2f}",
        f"F1 up to 40 words {short['f1']:.2f}",
    ]
    if everything["skipped"]:
        parts.append(f"{everything['skipped']} of {everything['sentences']} sentences, all punctuation, left out")
    if "repaired" in score:
        kinds = ", ".join(f"{kind} {found['sentences']}" for kind, found in score["repaired"]["kinds"].items())
        parts.append(
            f"repaired {score['repaired']['sentences']} of {everything['sentences']} sentences"
            + (f" ({kinds})" if kinds else "")
        )
    return " | ".join(parts)
