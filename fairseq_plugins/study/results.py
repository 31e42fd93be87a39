"""From the folders of a study's runs to its report."""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.page.write import write_report
from fairseq_plugins.report.results import Circumstances, Member, results_of
from fairseq_plugins.report.runs import check_size, read_json
from fairseq_plugins.report.times import times_of

from .analysis import of_language_models, of_translations
from .conduct import Conductor, solutions
from .jobs import Job
from .recipes import ROOT, environment

#: kind of study -> the metric of its verdict
PRIMARY = {
    "translation": "BLEU",
    "parsing": "F1",
    "masked_lm": "loss",
    "language_modeling": "loss",
    "glue": "average",
}
PACKAGES = ("fairseq", "fairseq_plugins", "numpy", "sacrebleu", "scipy", "torch")


def evaluation(kind: str, subset: str, flags: Sequence[str]) -> Callable[[Path], list[list[str]]]:
    """What is done with a run besides what its recipe does: a language model's losses token by token."""

    def commands(folder: Path) -> list[list[str]]:
        if kind not in ("masked_lm", "language_modeling"):
            return []
        cpu = ["--cpu"] if "--cpu" in flags else []
        plugins = [environment()["PYTHON"], "-m", "fairseq_plugins.cli"]
        return [[*plugins, "token-losses", str(folder), "--subset", subset, *cpu]]

    return commands


def score_of(kind: str) -> Callable[[Path], tuple[float, float | None]]:
    """What tells how good a translation of the validation set is: of its folder, the score, and its length."""

    def parses(folder: Path) -> tuple[float, float | None]:
        return float(read_json(folder / "evalb.json")["all"]["f1"]), None

    def translation(folder: Path) -> tuple[float, float | None]:
        bleu = read_json(folder / "score.json")["metrics"]["BLEU"]
        ratio = re.search(r"ratio = ([\d.]+)", bleu["verbose_score"])
        return float(bleu["score"]), float(ratio[1]) if ratio else None

    return parses if kind == "parsing" else translation


def report(conductor: Conductor, kind: str) -> tuple[dict[str, Any], Path]:
    """Write the report of all runs that are there; returns ``results.json`` and the page.

    Raises:
        UserError: there is nothing to compare yet, or the runs do not go together.
    """
    study, out = conductor.study, conductor.out
    widths = result_of(out / "widths.json")
    tuning = result_of(out / "tuning.json")
    jobs = conductor.run_jobs(solutions(widths), tuning)
    members: dict[str, list[Member]] = {name: [] for name in study.variants}
    missing = []
    each = [(job, seed, name) for job, (seed, name) in zip(jobs, conductor.seeds_and_variants())]
    for job, seed, name in each:
        if conductor.ledger.path(job, "json").is_file():
            member = member_of(kind, conductor.folder(name, seed), study.test)
            folder = str(conductor.folder(name, seed).relative_to(out))
            run = replace(member.run, folder=folder, name=name, seed=seed)
            members[name].append(replace(member, run=run, command=shown(job)))
        else:
            missing.append(missing_run(conductor, job, seed, name))
    members = {name: sorted(runs, key=lambda member: member.run.seed) for name, runs in members.items() if runs}
    if study.baseline not in members or len(members) < 2:
        raise UserError(
            f"{out}: nothing to compare yet: {len(each) - len(missing)} of {len(each)} runs are done, and the baseline "
            f"{study.baseline} and another variant need one at least"
        )
    for name, group in members.items():
        check_size(name, [member.run for member in group])
    options = {name: [*variant.options] for name, variant in study.variants.items()}
    about = Circumstances(
        task=kind,
        title=study.title,
        question=study.question,
        test_set=study.test if kind != "glue" else "development sets",
        seeds=conductor.seeds,
        options=options,
        operations=result_of(out / "operations.json"),
        missing=missing,
        control={"budget": budget_control(conductor, widths), "data": data_control(conductor)},
        tuning=tuning_control(conductor, tuning),
        provenance=provenance(conductor, members),
    )
    results = results_of(members, study.baseline, about, PRIMARY[kind])
    results["analysis"] = analysis(conductor, kind, members)
    write_report(results, times_of(members, out), out / "report")
    return results, out / "report" / "report.html"


def result_of(path: Path) -> dict[str, Any]:
    """What a stage of the study has found; nothing if there was none."""
    return read_json(path)["result"] if path.is_file() else {}


def member_of(kind: str, folder: Path, subset: str) -> Member:
    """A finished run with its scores."""
    if kind == "glue":
        from fairseq_plugins.glue.units import seed_member

        return seed_member(folder, sorted(path.parent for path in folder.glob("*/evaluation.json")))
    if kind == "parsing":
        from fairseq_plugins.parsing.units import parser_member

        return parser_member(folder, subset)
    if kind == "translation":
        from fairseq_plugins.report.members import translation_member
        from fairseq_plugins.report.translations import metrics_of, read_translation

        translation = read_translation(str(folder), subset)
        return translation_member(translation, metrics_of(translation, with_ter=True))
    from fairseq_plugins.report.losses_by_block import read_losses
    from fairseq_plugins.report.members import loss_member

    return loss_member(folder, read_losses(folder, subset))


def shown(job: Job) -> str:
    """The commands as they are typed in the project's folder."""
    typed = []
    for words in job.commands:
        if list(words[1:3]) == ["-m", "fairseq_plugins.cli"]:
            words = ["fairseq-plugins", *words[3:]]
        typed.append(shlex.join(word.removeprefix(f"{ROOT}/") for word in words))
    return " && ".join(typed)


def missing_run(conductor: Conductor, job: Job, seed: int, name: str) -> dict[str, Any]:
    """Why a run is not in the report."""
    failed = conductor.ledger.path(job, "failed")
    if not failed.is_file():
        return {"variant": name, "seed": seed, "reason": "not done yet", "last_lines": []}
    failure = read_json(failed)
    reason = f"failed with status {failure['status']}"
    return {"variant": name, "seed": seed, "reason": reason, "last_lines": failure["last_lines"]}


def budget_control(conductor: Conductor, widths: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was held equal, and how nearly."""
    if not widths:
        return None
    budgets = {name: conductor.study.variants[name].budget for name in widths}
    said = {n: {"quantity": b.quantity, "to": b.to, "tolerance": b.tolerance} for n, b in budgets.items() if b}
    return {"variants": {name: {**widths[name], **said[name]} for name in widths}}


def data_control(conductor: Conductor) -> dict[str, Any] | None:
    """What the runs of each seed read, whatever their variant: the study ends where they do not read the same."""
    found = {seed: result_of(conductor.out / "batches" / f"seed{seed}.json") for seed in conductor.seeds}
    there = {seed: result for seed, result in found.items() if result}
    if not there:
        return None
    updates = max(result["updates"] for result in there.values())
    fingerprints = {str(seed): result["fingerprint"] for seed, result in there.items()}
    return {"same": True, "updates": updates, "fingerprints": fingerprints}


def tuning_control(conductor: Conductor, tuning: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was tried and chosen."""
    said = conductor.study.tuning
    if said is None or not tuning:
        return None
    variants = [{"name": name, **tuning[name]} for name in conductor.study.variants]
    grid = {name: list(values) for name, values in said.grid.items()}
    return {"seeds": list(said.seeds), "criterion": "validation loss", "grid": grid, "variants": variants}


def provenance(conductor: Conductor, members: Mapping[str, Sequence[Member]]) -> dict[str, Any]:
    """Versions, machine and commit, as the first run of the baseline was recorded."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "machine": machine(),
        "commit": members[conductor.study.baseline][0].run.commit,
        "threads": read_json(conductor.out / "settings.json")["threads"],
    }


def machine() -> dict[str, Any]:
    """The processor, its cores, and the GPUs."""
    import torch

    from fairseq_plugins.benchmark.machine import processor

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"processor": processor(), "cores": os.cpu_count(), "gpus": gpus}


def analysis(conductor: Conductor, kind: str, members: Mapping[str, Sequence[Member]]) -> dict[str, Any] | None:
    """What differs between the variants; nothing of parsers, and of GLUE the tasks are metrics themselves."""
    if kind == "translation":
        data = conductor.trainings[conductor.study.baseline].data
        return of_translations(members, conductor.study.baseline, data, conductor.study.test)
    if kind in ("masked_lm", "language_modeling"):
        folders = {name: [conductor.out / member.run.folder for member in group] for name, group in members.items()}
        data = conductor.trainings[conductor.study.baseline].data
        return of_language_models(members, folders, data, conductor.study.test)
    return None
