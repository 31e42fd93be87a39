"""A call of ``fairseq-plugins study``: what it runs on, what it prints, and how it ends."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.runs import read_json
from fairseq_plugins.runtime.durable import write_whole

from .budget import meet_budgets
from .checks import check, check_checkpoints
from .conduct import Conductor, add_seeds, conduct
from .engine import Engine, Stopped
from .plan import show_plan
from .recipes import ROOT, Recipe, environment
from .results import evaluation, report, score_of
from .spec import Study, load_study
from .tuning import trial_jobs


def call(args: Namespace) -> int:
    """Do what the command line says; returns the exit status."""
    logging.disable(logging.INFO)  # what fairseq and matplotlib say of themselves
    study = load_study(Path(args.study), ROOT)
    if args.smoke:
        study = dataclasses.replace(study, seeds=study.seeds[:2])
    given = [word for name, value in args.recipe_options for word in (f"--{name.removeprefix('--')}", value)]
    study = dataclasses.replace(study, recipe_options=(*study.recipe_options, *given))
    only = [name for name in (args.only or "").split(",") if name]
    for name in only:
        if name not in study.variants:
            raise UserError(f"--only {name}: {study.file} has the variants {', '.join(study.variants)}")
    out = Path(args.out) if args.out else ROOT / "runs" / f"study-{name_of(study)}{'-smoke' * args.smoke}"
    gpus = 0 if args.cpu else gpu_count(args.gpus)
    if args.jobs and gpus:
        raise UserError("--jobs is for the CPU; add --cpu, or take --gpus N for N runs side by side")
    slots = max(1, gpus or args.jobs or 1)
    flags = [*(["--gpus", "1"] if gpus else ["--cpu"]), *(["--smoke"] if args.smoke else [])]
    recipe = Recipe(study, flags)
    if recipe.is_glue():
        check_checkpoints(study)
        trainings = {}
    else:
        trainings = check(study, recipe, out / "runs")
    kind = "glue" if recipe.is_glue() else trainings[study.baseline].kind
    conductor = Conductor(study, recipe, out.resolve(), trainings, evaluation(kind, study.test, flags))
    quantities = {variant.budget.quantity for variant in study.variants.values() if variant.budget}
    if quantities == {"parameters"}:  # whether they can be met, before anything runs
        there = trainings[study.baseline]
        meet_budgets(study.variants, trainings, None if there.has_data() else there.vocabulary)
    if args.plan:
        show_plan(conductor, slots, args.threads)
        return 0
    if args.dry_run:
        show_commands(conductor)
        return 0
    if args.add_seeds:
        out.mkdir(parents=True, exist_ok=True)
        conductor.seeds = add_seeds(study, conductor.out, args.add_seeds)
    if not args.report:
        threads = fixed_threads(conductor.out, args.threads or default_threads(slots))
        engine = Engine(conductor.ledger, environments(slots, threads, bool(gpus)), say)
        try:
            conduct(conductor, engine, only, score_of(kind))
        except Stopped as stopped:
            say(f"stopped by {stopped} with everything saved; the same command goes on")
            return 128 + stopped.number
    results, page = report(conductor, kind)
    failed = len(results["missing"])
    print(results["verdict"]["headline"])
    for sentence in results["verdict"]["sentences"]:
        print(f"  {sentence}")
    if failed:
        say(f"{failed} runs are missing in the report")
    print(f"the page: {page}")
    return 1 if failed and not args.report else 0


def say(text: str) -> None:
    """A line for people."""
    print(f"study: {text}", file=sys.stderr, flush=True)


def name_of(study: Study) -> str:
    """``toy`` of ``examples/toy/study.yaml``, ``mine`` of ``mine.yaml``."""
    stem = study.file.stem
    return study.file.resolve().parent.name if stem == "study" else stem


def gpu_count(asked: int | None) -> int:
    """How many GPUs to use: all there are, or as many as are asked for.

    Raises:
        UserError: there are fewer.
    """
    import torch

    there = torch.cuda.device_count()
    if asked is not None and asked > there:
        raise UserError(f"--gpus {asked}: torch sees {there} here")
    return there if asked is None else asked


def default_threads(slots: int) -> int:
    """Those of a run on the CPU."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else max(1, min(4, (os.cpu_count() or 1) // slots))


def fixed_threads(out: Path, asked: int) -> int:
    """The threads with which the study began: with others a run that was stopped would end in other digits."""
    path = out / "settings.json"
    if path.is_file():
        found = int(read_json(path)["threads"])
        if found != asked:
            say(f"{found} threads a run, as when the study began")
        return found
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, f"{json.dumps({'threads': asked})}\n".encode())
    return asked


def environments(slots: int, threads: int, gpus: bool) -> list[dict[str, str]]:
    """What each slot's jobs find: their threads, and their GPU."""
    made = []
    for slot in range(slots):
        more = {"OMP_NUM_THREADS": str(threads)}
        if gpus:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            more["CUDA_VISIBLE_DEVICES"] = visible.split(",")[slot] if visible else str(slot)
        made.append(environment(**more))
    return made


def show_commands(conductor: Conductor) -> None:
    """Every command as it would be typed; what is chosen on the way is not known yet."""
    if not conductor.recipe.is_glue():
        print(shlex.join(conductor.recipe.prepare_command()))
    trials = trial_jobs(conductor, {})
    for name, variant in conductor.study.variants.items():
        if variant.budget:
            print(
                f"# then for {name} the feed-forward widths with the {variant.budget.quantity} of {variant.budget.to}"
            )
    for job in trials:
        print(*map(shlex.join, job.commands), sep="\n")
    if trials:
        print("# then with what the trials of each variant choose")
    for job in conductor.run_jobs({}, {}):
        print(*map(shlex.join, job.commands), sep="\n")
