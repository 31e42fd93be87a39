"""What a finished run left in its folder, and the statistics that compare runs.

A run is a folder of ``scripts/train.sh`` with a translation of ``scripts/generate.sh`` and a score of
``scripts/score.sh`` in it. Runs of the same name but for ``-seedN`` form a group: one model under several seeds.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from fairseq_plugins.lines import read_lines

SEED_SUFFIX = re.compile(r"[-_.]seed\d+$")
PARAMETERS = re.compile(r"num\. shared model params: ([\d,]+)")
RECORD = re.compile(r"\| INFO \| (?P<tag>[^|]+) \| (?P<stats>\{.*\})\s*$")


@dataclass
class Run:
    """One trained model and its translation."""

    folder: str
    name: str
    arch: str
    seed: int
    parameters: int
    updates: int
    seconds: float
    hypotheses: List[str]
    references: List[str]
    tokenizer: str
    #: (updates, validation loss), in order
    curve: List[Tuple[int, float]] = field(default_factory=list)
    #: metric -> score, filled in by :func:`score`
    scores: Dict[str, float] = field(default_factory=dict)


@dataclass
class Significance:
    """A run against the baseline's run of the same seed."""

    seed: int
    difference: float
    p_value: float


def load_run(folder: str, subset: str = "test", reference: Optional[str] = None) -> Run:
    """Read a run's folder.

    Raises:
        ValueError: something is missing or does not fit together; the message names the file and the remedy.
    """
    folder = folder.rstrip("/")
    record = _read_json(os.path.join(folder, "run.json"), "train with scripts/train.sh")
    done = _read_json(os.path.join(folder, "done"), "the training is not finished; go on with --resume")
    generated = os.path.join(folder, f"gen.{subset}")
    score = _read_json(os.path.join(generated, "score.json"), "score it with scripts/score.sh")
    text = _existing(os.path.join(generated, os.path.basename(score["hypotheses"])), score["hypotheses"])
    reference = reference or score["reference"]
    hypotheses, references = list(read_lines(text)), list(read_lines(_existing(reference)))
    if len(hypotheses) != len(references):
        raise ValueError(f"{text} has {len(hypotheses)} lines but {reference} has {len(references)}")
    parameters, curve = read_log(os.path.join(folder, "train.log"))
    return Run(
        folder=folder,
        name=SEED_SUFFIX.sub("", os.path.basename(os.path.abspath(folder))),
        arch=record["arch"],
        seed=int(record["seed"]),
        parameters=parameters,
        updates=done["updates"],
        seconds=done.get("seconds", math.nan),
        hypotheses=hypotheses,
        references=references,
        tokenizer=score["metrics"]["BLEU"].get("tok", "13a"),
        curve=curve,
    )


def read_log(path: str) -> Tuple[int, List[Tuple[int, float]]]:
    """The number of parameters and the validation losses in fairseq's log (``--log-format json``)."""
    parameters, curve = 0, {}
    with open(_existing(path), encoding="utf-8", errors="replace") as log:
        for line in log:
            match = PARAMETERS.search(line)
            if match:
                parameters = int(match[1].replace(",", ""))
            match = RECORD.search(line)
            if match and match["tag"].strip() == "valid":
                stats = json.loads(match["stats"])
                # A resumed run may validate twice at the same update: the later one counts.
                curve[int(stats["valid_num_updates"])] = float(stats["valid_loss"])
    if not parameters:
        raise ValueError(f"{path} does not say how many parameters the model has")
    return parameters, sorted(curve.items())


def score(runs: Sequence[Run]) -> Dict[str, str]:
    """Score every run by BLEU and chrF; returns each metric's signature.

    Raises:
        ValueError: the runs translate different references or were tokenised differently.
    """
    for run in runs[1:]:
        if run.references != runs[0].references or run.tokenizer != runs[0].tokenizer:
            raise ValueError(f"{run.folder} and {runs[0].folder} were scored on different references or tokenisers")
    metrics = _metrics(runs[0])
    for run in runs:
        for metric in metrics.values():
            result = metric.corpus_score(run.hypotheses, None)
            run.scores[result.name] = result.score
    return {name: str(metric.get_signature()) for name, metric in zip(runs[0].scores, metrics.values())}


def grouped(runs: Sequence[Run]) -> Dict[str, List[Run]]:
    """Runs by name, each group in the order of its seeds."""
    groups: Dict[str, List[Run]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    for name, members in groups.items():
        members.sort(key=lambda run: run.seed)
        for first, second in zip(members, members[1:]):
            if first.seed == second.seed:
                raise ValueError(f"{first.folder} and {second.folder} are both '{name}' with seed {first.seed}")
    return groups


def paired_bootstrap(
    baseline: Sequence[Run], others: Dict[str, List[Run]], samples: int = 1000
) -> Tuple[Dict[str, Dict[str, List[Significance]]], Dict[str, str]]:
    """sacreBLEU's paired bootstrap of every run against the baseline's run of the same seed.

    Returns ``{name: {metric: [one Significance a common seed]}}`` and the signatures of the test.
    """
    found: Dict[str, Dict[str, List[Significance]]] = {name: {} for name in others}
    signatures: Dict[str, str] = {}
    for base in baseline:
        rivals = [run for members in others.values() for run in members if run.seed == base.seed]
        if not rivals:
            continue
        systems: List[Tuple[str, Sequence[str]]] = [(run.name, run.hypotheses) for run in (base, *rivals)]
        test = PairedTest(systems, _metrics(base), references=None, test_type="bs", n_samples=samples)
        signature, results = test()
        signatures = {metric: str(value) for metric, value in signature.items()}
        for metric in signatures:
            baseline_result, *rest = results[metric]
            for run, result in zip(rivals, rest):
                difference = result.score - baseline_result.score  # type: ignore[union-attr]
                # sacreBLEU counts resamples beyond the real difference: of equal systems none is, and p would be least.
                same = run.hypotheses == base.hypotheses
                p_value = 1.0 if same else float(result.p_value)  # type: ignore[union-attr,arg-type]
                found[run.name].setdefault(metric, []).append(Significance(base.seed, difference, p_value))
    return found, signatures


def mean_deviation(values: Sequence[float]) -> Tuple[float, Optional[float]]:
    """Mean and sample standard deviation; no deviation of a single value."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _metrics(run: Run) -> Dict[str, Any]:
    references = [run.references]
    return {"BLEU": BLEU(tokenize=run.tokenizer, references=references), "chrF": CHRF(references=references)}


def _existing(path: str, *others: str) -> str:
    for candidate in (path, *others):
        if os.path.isfile(candidate):
            return candidate
    raise ValueError(f"no file {path}")


def _read_json(path: str, remedy: str) -> Dict[str, Any]:
    if not os.path.isfile(path):
        raise ValueError(f"no file {path}: {remedy}")
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); remove it and make it again") from error
