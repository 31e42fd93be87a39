"""Beam search of several systems, side by side."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .processes import Comparison, GateError, Say, System, label, same_results, started, steps_in_turn, variant
from .sizes import CTRANSLATE2, HUGGINGFACE, JOEYNMT, SIZES, STOCK

#: systems with a search of their own
OTHERS = (CTRANSLATE2, HUGGINGFACE, JOEYNMT)
#: difference of scores, relative to their size or to 1, up to which two hypotheses are equally good
TOLERANCE = 1e-4
#: share of the sentences that another search may translate otherwise in float32: CTranslate2 cuts the longest earlier
OTHER_SEARCH = 0.02


class Models(NamedTuple):
    """What is translated, and with which models.

    Attributes:
        data: the data folder of ``fairseq-generate``.
        checkpoints: ``stock`` or a variant -> path.
    """

    data: str
    checkpoints: dict[str, str]


class Agreement(NamedTuple):
    """How the hypotheses of two systems compare: equal ones, others of equal scores, and a sentence on a third kind."""

    equal: int
    ties: int
    problem: str | None


@dataclass
class Result:
    """What was measured of one system: medians over its rounds, peak bytes, and how its hypotheses compare.

    Attributes:
        control: what its hypotheses were compared with.
        profile: of :func:`.profiling.profile`, where it was asked for.
    """

    size: str
    system: str
    seconds: float
    sentences: int
    tokens: int
    memory: float
    control: str
    agreement: Agreement
    profile: dict[str, Any] | None = None


def random_models(folder: str, size_name: str, systems: Iterable[str], sentences: int) -> Models:
    """Models of one of :data:`.sizes.SIZES` that copy (:mod:`.copying`), and sentences of random words, in a folder."""
    from .workload import write_workload

    wanted = dict.fromkeys(STOCK if variant(name) in OTHERS else variant(name) for name in systems)
    return Models(folder, write_workload(folder, SIZES[size_name], wanted, sentences))


def trained_models(folder: str, path: str, data: str, systems: Iterable[str]) -> Models:
    """A checkpoint for all systems, as fairseq's architecture and as ours where it has both.

    Args:
        folder: for the converted checkpoint.
        path: a checkpoint of the transformer family.
        data: its data folder, with a test set.

    Raises:
        GateError: the checkpoint cannot be read, or is not what a system is.
    """
    from fairseq_plugins.checkpoints import Checkpoint, CheckpointError
    from fairseq_plugins.checkpoints.convert import convert_checkpoint
    from fairseq_plugins.models.grid import grid_place

    try:
        arch = Checkpoint.read(path).architecture
        place = grid_place(arch)
        kind = place[1] if place else STOCK
        checkpoints = {kind: path}
        if kind in (STOCK, "baseline"):
            other = "baseline" if kind == STOCK else STOCK
            checkpoints[other] = str(Path(folder, f"{other}.pt"))
            convert_checkpoint(path, checkpoints[other], other)
    except CheckpointError as error:
        raise GateError(str(error)) from None
    for name in systems:
        if variant(name) not in (*checkpoints, *OTHERS):
            known = ", ".join((*checkpoints, *OTHERS))
            raise GateError(f"{name}: {path} is a {arch}; choose --systems from {known}")
    return Models(data, checkpoints)


def measure(
    size_name: str,
    models: Models,
    comparison: Comparison,
    words: Sequence[str],
    say: Say = None,
) -> list[Result]:
    """Measure systems in turn, batch by batch, after a translation of the whole test set whose hypotheses must agree.

    Args:
        size_name: a name for the tables.
        models: what is translated, and with which.
        comparison: of ``fairseq-generate``; ``ctranslate2`` may be one of its systems, and is not profiled.
        words: of ``fairseq-generate``, for all.

    Raises:
        GateError: systems that should have the same hypotheses have not, or one fails.
    """
    with tempfile.TemporaryDirectory() as folder, started(comparison) as running:
        gates = {}
        for system in running:
            request = build_request(system, models, folder)
            request["words"] += [*words, *system.words, *(["--cpu"] if comparison.device == "cpu" else [])]
            system.ask("build", threads=comparison.threads, device=comparison.device, **request)
            gates[system.name] = system.ask("gate")
            if say is not None:
                say(f"{system.name} has translated the test set once")
        controls = controls_of(gates)
        for system in running:
            if system.name in {controls[name] for name in gates if variant(name) == CTRANSLATE2}:
                gates[system.name]["renormalised"] = system.ask("gate", renormalised=True)["hypotheses"]
        inexact = {system.name for system in running if is_inexact(system)}
        agreements = compare_hypotheses(gates, controls, inexact)
        batches = gates[running[0].name]["batches"]
        found = steps_in_turn(running, comparison.rounds * batches, "batches", say)
        in_torch = [system for system in running if variant(system.name) != CTRANSLATE2]
        profiles = {system.name: system.ask("profile") for system in in_torch} if comparison.profile else {}
    results = []
    for name, steps in found.items():
        of_batch = [steps[number::batches] for number in range(batches)]
        results.append(
            Result(
                size=size_name,
                system=name,
                seconds=sum(statistics.median(step["seconds"] for step in turns) for turns in of_batch),
                sentences=int(sum(turns[0]["sentences"] for turns in of_batch)),
                tokens=int(sum(turns[0]["tokens"] for turns in of_batch)),
                memory=gates[name]["bytes"],
                control=controls[name],
                agreement=agreements[name],
                profile=profiles.get(name),
            )
        )
    return results


def build_request(system: System, models: Models, folder: str) -> dict[str, Any]:
    """What :mod:`.worker` is told to build; a model for CTranslate2 is exported into the folder first."""
    if variant(system.name) in (HUGGINGFACE, JOEYNMT):
        return {"kind": variant(system.name), "words": [models.data, "--path", models.checkpoints[STOCK]]}
    if variant(system.name) != CTRANSLATE2:
        return {"kind": "fairseq", "words": [models.data, "--path", models.checkpoints[variant(system.name)]]}
    return {"kind": CTRANSLATE2, "words": [models.data], "folder": export(system.name, models, folder)}


def export(name: str, models: Models, folder: str) -> str:
    """Export the checkpoint with the quantisation that the system's label names, and float32 else.

    Raises:
        GateError: CTranslate2 does not have such a model, or is missing.
    """
    from fairseq.data.data_utils import infer_language_pair

    from fairseq_plugins.checkpoints import CheckpointError
    from fairseq_plugins.transfer.ctranslate2.exporting import export_ctranslate2

    source, target = (Path(models.data, f"dict.{side}.txt") for side in infer_language_pair(models.data))
    path = models.checkpoints.get(STOCK) or next(iter(models.checkpoints.values()))
    try:
        export_ctranslate2(path, Path(folder, name), source, target, quantization(name))
    except CheckpointError as error:
        raise GateError(f"{name}: {error}") from None
    return str(Path(folder, name))


def quantization(name: str) -> str:
    """``int8`` of ``ctranslate2+int8``."""
    from fairseq_plugins.transfer.ctranslate2.exporting import QUANTIZATIONS

    return label(name) if label(name) in QUANTIZATIONS else "float32"


def is_inexact(system: System) -> bool:
    """Whether it need not have its control's hypotheses: it computes in less than float32, or searches otherwise."""
    if variant(system.name) == CTRANSLATE2:
        return quantization(system.name) != "float32"
    if variant(system.name) == JOEYNMT:  # its search ends hypotheses by rules of its own
        return True
    return "--fp16" in system.words or any(weights in word for word in system.words for weights in ("bfloat16", "int8"))


def controls_of(names: Iterable[str]) -> dict[str, str]:
    """system -> the first in fairseq that must have the same hypotheses, which may be itself.

    Raises:
        GateError: there is none for another's system.
    """
    names = list(names)
    fairseq = [name for name in names if variant(name) not in OTHERS]
    controls: dict[str, str] = {}
    for name in names:
        if variant(name) in OTHERS:
            same = [other for other in fairseq if same_results(other) == STOCK] or fairseq
        else:
            same = [other for other in fairseq if same_results(other) == same_results(name)]
        if not same:
            raise GateError(f"{name} has nothing to be compared with: add stock to --systems")
        controls[name] = same[0]
    return controls


def compare_hypotheses(
    gates: Mapping[str, Mapping[str, Any]], controls: Mapping[str, str], inexact: Iterable[str]
) -> dict[str, Agreement]:
    """How every system's hypotheses compare with its control's.

    CTranslate2 takes what may not be generated out before the softmax, and is checked against fairseq doing so, too.

    Args:
        gates: system -> ``hypotheses`` and for CTranslate2's control ``renormalised``, sentence -> tokens and score.
        controls: see :func:`controls_of`.
        inexact: systems that may have any hypotheses.

    Raises:
        GateError: hypotheses of unequal scores differ, or scores of equal ones, by more than :data:`TOLERANCE`; where
            the search is another's, of more than :data:`OTHER_SEARCH` of the sentences.
    """
    agreements, inexact = {}, set(inexact)
    for name, gate in gates.items():
        control, is_other = gates[controls[name]], variant(name) in OTHERS
        renormalised, own_scores = variant(name) == CTRANSLATE2, variant(name) in (CTRANSLATE2, JOEYNMT)
        if control["hypotheses"].keys() != gate["hypotheses"].keys():
            raise GateError(f"{name} does not translate the sentences that {controls[name]} does; no speed is reported")
        if own_scores or name in inexact:  # scores need not be equal
            agreements[name] = Agreement(equal_words(control["hypotheses"], gate["hypotheses"]), 0, None)
        else:
            agreements[name] = compare(control["hypotheses"], gate["hypotheses"])
        if name in inexact:
            continue
        found = compare(control["renormalised"], gate["hypotheses"]) if renormalised else agreements[name]
        sentences = len(gate["hypotheses"])
        others = sentences - found.equal - found.ties
        if others > (OTHER_SEARCH * sentences if is_other else 0):
            raise GateError(
                f"{name} does not translate as {controls[name]} does: {others} of {sentences} hypotheses, "
                f"{found.problem}; no speed is reported"
            )
    return agreements


def equal_words(first: Mapping[str, Any], second: Mapping[str, Any]) -> int:
    """How many hypotheses are the same words, whatever their scores."""
    return sum(tokens == second[sentence][0] for sentence, (tokens, _) in first.items())


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> Agreement:
    """Two systems' hypotheses, of which equal ones must have equal scores, too."""
    equal = ties = 0
    problem = None
    for sentence, (tokens, score) in first.items():
        other_tokens, other_score = second[sentence]
        if abs(score - other_score) > TOLERANCE * max(1.0, abs(score)):
            problem = problem or f"of sentence {sentence} with the scores {score:.6f} and {other_score:.6f}"
        elif tokens == other_tokens:
            equal += 1
        else:
            ties += 1
    return Agreement(equal, ties, problem)
