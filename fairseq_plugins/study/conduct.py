"""A study from its file to its runs: prepare, hold equal, tune, train; each stage only where its result is missing."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.runs import read_json
from fairseq_plugins.runtime.durable import write_whole

from .budget import Solution, meet_budgets
from .checks import parsed
from .control import check_batches, count_operations
from .engine import Engine
from .jobs import Job, Ledger
from .recipes import Recipe, Training, said_error
from .spec import Study, Variant, option_words, read_seeds
from .tuning import Score, tune


class Conductor:
    """What all stages of a study have in common.

    Args:
        study: as its file says.
        recipe: that trains.
        out: folder of the study.
        trainings: of each variant, as the recipe describes them; empty for GLUE.
        evaluate: further commands of a run, of its folder.
    """

    def __init__(
        self,
        study: Study,
        recipe: Recipe,
        out: Path,
        trainings: Mapping[str, Training],
        evaluate: Callable[[Path], list[list[str]]],
    ) -> None:
        self.study, self.recipe, self.out, self.trainings, self.evaluate = study, recipe, out, trainings, evaluate
        self.ledger = Ledger(out / "jobs")
        self.seeds = with_added(study, out)

    def folder(self, variant: str, seed: int) -> Path:
        """That of a run."""
        return self.out / "runs" / f"{variant}-seed{seed}"

    def seeds_and_variants(self) -> list[tuple[int, str]]:
        """The runs in their order: seeds first, so that there is something to compare early."""
        return [(seed, name) for seed in self.seeds for name in self.study.variants]

    def base_words(self, variant: Variant, widths: Mapping[str, Solution]) -> list[str]:
        """What a variant's runs give to fairseq-train before anything is chosen."""
        return [*variant.options, *(widths[variant.name].words() if variant.name in widths else [])]

    def run_jobs(
        self, widths: Mapping[str, Solution], chosen: Mapping[str, Any], only: Sequence[str] = ()
    ) -> list[Job]:
        """Every variant with every seed.

        Args:
            chosen: what ``tuning.json`` holds.
            only: these variants; all if there are none.
        """
        jobs = []
        for seed, name in self.seeds_and_variants():
            variant, more = self.study.variants[name], ["--resume", *self._ending()]
            options = self.base_words(variant, widths)
            for trial in chosen[name]["trials"] if chosen else []:
                options += option_words(trial["options"]) if trial["chosen"] else []
            for row in (chosen[name]["length_penalty"] or []) if chosen else []:
                more += ["--lenpen", f"{row['value']:g}"] if row["chosen"] else []
            if not only or name in only:
                command = self.recipe.command(variant, seed, self.out / "runs", name, *more, options=options)
                folder = self.folder(name, seed)
                commands = [command, *self.evaluate(folder)]
                jobs.append(self.job(f"runs/{folder.name}", f"{name} seed {seed}", commands, "run", variant))
        return jobs

    def _ending(self) -> list[str]:
        """How a run ends: a language model's recipe may have more to do than what a study asks for."""
        kinds = {training.kind for training in self.trainings.values()}
        if kinds & {"masked_lm", "language_modeling"}:
            return ["--until", "train"]
        return ["--subset", self.study.test] if kinds and self.study.test != "test" else []

    def job(self, name: str, title: str, commands: Sequence[Sequence[str]], kind: str, variant: Variant) -> Job:
        """A job of a variant whose training lies in the folder of its name."""
        first = next(iter(self.trainings.values()), None)
        updates = int(first.option("--max-update") or 0) if first else 0
        return Job(name, title, commands, self.out / name, updates, kind, variant.place)

    def once(self, name: str, request: Any, make: Callable[[], Any]) -> Any:
        """What ``NAME.json`` holds, made by the first who needs it.

        Raises:
            UserError: it answers another request than this.
        """
        path = self.out / f"{name}.json"
        with held(path.with_suffix(".lock")):
            if path.is_file():
                found = read_json(path)
                if found["request"] != json.loads(json.dumps(request)):
                    raise UserError(
                        f"{self.study.file}: {path} was made for another study than the file now says; take another "
                        "--out, or remove that folder to begin anew"
                    )
                return found["result"]
            content = json.dumps({"request": request, "result": make()}, indent=2, sort_keys=True)
            write_whole(path, f"{content}\n".encode())
            return json.loads(content)["result"]

    def widths(self) -> dict[str, Solution]:
        """The feed-forward widths that meet the budgets, found once.

        Raises:
            UserError: one cannot be met.
        """
        variants = self.study.variants
        if not any(variant.budget for variant in variants.values()):
            return {}
        request = {
            name: [
                variant.options,
                variant.budget and [variant.budget.quantity, variant.budget.to, variant.budget.tolerance],
            ]
            for name, variant in variants.items()
        }

        def make() -> dict[str, Any]:
            return {name: vars(solution) for name, solution in meet_budgets(variants, self.trainings).items()}

        return solutions(self.once("widths", [self.study.options, request], make))

    def described(self, widths: Mapping[str, Solution]) -> dict[str, Any]:
        """fairseq's options of every variant's training."""
        found = {}
        for name, variant in self.study.variants.items():
            training = self.trainings[name]  # as it is, without other widths
            if name in widths:
                training = self.recipe.describe(variant, self.base_words(variant, widths), self.out / "runs")
            found[name] = parsed(training, variant.place)
        return found


def conduct(conductor: Conductor, engine: Engine, only: Sequence[str], score: Score) -> None:
    """All stages, up to the last run.

    Raises:
        UserError: a stage on which the others build has failed.
        Stopped: by a signal.
    """
    study, recipe = conductor.study, conductor.recipe
    widths: dict[str, Solution] = {}
    if conductor.trainings:
        prepare = Job("prepare", "the data", [recipe.prepare_command()], kind="prepare", place=study.recipe_place)
        engine.run([prepare])
        for failure in engine.failures([prepare]).values():
            reason = said_error("\n".join(failure["last_lines"]))
            raise UserError(f"{study.recipe_place}: the data could not be prepared: {reason}")
        widths = conductor.widths()
    engine.later = conductor.run_jobs(widths, {}, only)
    chosen = tune(conductor, engine, widths, score)
    engine.later = []
    if conductor.trainings:
        described = conductor.described(widths)
        words = {name: conductor.base_words(variant, widths) for name, variant in study.variants.items()}
        request = [study.options, words]
        conductor.once("operations", request, lambda: count_operations(described))
        for seed in conductor.seeds:
            conductor.once(f"batches/seed{seed}", request, lambda seed=seed: check_batches(study, described, seed))  # type: ignore[misc]
    engine.run(conductor.run_jobs(widths, chosen, only))


def solutions(found: Mapping[str, Any]) -> dict[str, Solution]:
    """What ``widths.json`` holds."""
    return {name: Solution(**solution) for name, solution in found.items()}


def with_added(study: Study, out: Path) -> tuple[int, ...]:
    """The study's seeds and those that were added later."""
    path = out / "added_seeds.json"
    added = read_json(path)["seeds"] if path.is_file() else []
    return (*study.seeds, *(seed for seed in added if seed not in study.seeds))


def add_seeds(study: Study, out: Path, said: str) -> tuple[int, ...]:
    """Add seeds to a study for this and every later call; returns all that it has then.

    Raises:
        UserError: they are none, or used for tuning.
    """
    found = read_seeds(said, "--add-seeds")
    for seed in found:
        if study.tuning and seed in study.tuning.seeds:
            raise UserError(f"--add-seeds: seed {seed} is one that the tuning uses; take others")
    known = with_added(study, out)
    seeds = [seed for seed in known if seed not in study.seeds] + [seed for seed in found if seed not in known]
    write_whole(out / "added_seeds.json", f"{json.dumps({'seeds': seeds})}\n".encode())
    return with_added(study, out)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Alone at something, whatever other processes of the study there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
