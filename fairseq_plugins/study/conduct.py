"""A study from its file to its runs: prepare, hold equal, tune, train; each stage only where its result is not there yet."""

from __future__ import annotations

import copy
import fcntl
import json
import math
import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.runs import read_json, read_log
from fairseq_plugins.runtime.durable import write_whole

from .batches import Batches
from .budget import Solution, sides, solve
from .checks import parsed
from .engine import Engine
from .jobs import Job, Ledger
from .quantities import operations
from .recipes import Recipe, Training, said_error
from .spec import Study, Variant, option_words, read_seeds


class Conductor:
    """All that a study does.

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

    # ------------------------------------------------------------------ what is held equal

    def widths(self) -> dict[str, Solution]:
        """The feed-forward widths that meet the budget, solved once.

        Raises:
            UserError: it cannot be met.
        """
        budget = self.study.budget
        if budget is None:
            return {}
        request = {"budget": asdict(budget) | {"place": None}, "options": list(self.study.options)}
        request["variants"] = {name: [*v.options, v.budget] for name, v in self.study.variants.items()}
        found = self.once("widths", request, lambda: {n: asdict(s) for n, s in self.solve_all().items()})
        return self.solutions(found)

    @staticmethod
    def solutions(found: Mapping[str, Any]) -> dict[str, Solution]:
        """What ``widths.json`` holds."""
        return {name: Solution(**solution) for name, solution in found.items()}

    def solve_all(self, vocabulary: int | None = None) -> dict[str, Solution]:
        """The widths of every variant that has to meet another's budget.

        Args:
            vocabulary: symbols of the dictionary, where the data are not there yet.
        """
        from . import quantities

        budget = self.study.budget
        assert budget is not None
        arguments = {name: parsed(training, budget.place) for name, training in self.trainings.items()}
        found = {}
        for name, variant in self.study.variants.items():
            to = self.study.budget_of(variant)
            if to is None:
                continue
            wide = sides(arguments[name])

            def with_widths(widths: Mapping[str, int], args: Namespace = arguments[name]) -> Namespace:
                changed = copy.copy(args)
                for side, width in widths.items():
                    setattr(changed, f"{side}_ffn_embed_dim", width)
                return changed

            if budget.quantity == "parameters":
                target: float = quantities.parameters(arguments[to], vocabulary)
                solution = solve(
                    name, wide, lambda w: quantities.parameters(with_widths(w), vocabulary), target, budget
                )
            elif budget.quantity == "operations":
                target = quantities.operations(arguments[to])
                solution = solve(name, wide, lambda w: quantities.operations(with_widths(w)), target, budget)
            else:
                solution = self._solve_seconds(name, wide, with_widths, arguments[to])
            found[name] = solution
        return found

    def _solve_seconds(
        self, name: str, wide: Mapping[str, int], with_widths: Callable[..., Namespace], other: Namespace
    ) -> Solution:
        from . import quantities

        assert self.study.budget is not None
        scatter = 0.0

        def measure(widths: Mapping[str, int]) -> float:
            nonlocal scatter
            ratio, spread = quantities.seconds_ratio(with_widths(widths), other)
            scatter = max(scatter, spread)
            return ratio

        solution = solve(name, wide, measure, 1.0, self.study.budget)
        if scatter > self.study.budget.tolerance:
            raise UserError(
                f"{self.study.budget.place}: the seconds of {name} scatter by {100 * scatter:.2g} % from round to round "
                f"here, more than the {100 * self.study.budget.tolerance:g} % asked for; take a quieter machine, or say "
                f"tolerance: {scatter * 1.1:.1g}"
            )
        return solution

    # ------------------------------------------------------------------ what is tried

    def base_words(self, variant: Variant, widths: Mapping[str, Solution]) -> list[str]:
        """What a variant's runs give to fairseq-train before anything is chosen."""
        return [*variant.options, *(widths[variant.name].words() if variant.name in widths else [])]

    def trial_jobs(self, widths: Mapping[str, Solution]) -> list[Job]:
        """Every trial of every variant, with each of the tuning's seeds."""
        tuning = self.study.tuning
        if tuning is None:
            return []
        jobs = []
        for variant in self.study.variants.values():
            for number, trial in enumerate(tuning.trials()):
                for seed in tuning.seeds:
                    options = [*self.base_words(variant, widths), *option_words(trial)]
                    name = f"{variant.name}-trial{number}"
                    command = self.recipe.command(
                        variant, seed, self.out / "tuning", name, "--resume", "--until", "train", options=options
                    )
                    said = " ".join(option_words(trial)) or "as it is"
                    jobs.append(
                        self._job(f"tuning/{name}-seed{seed}", f"trial of {variant.name} ({said})", [command], "trial")
                    )
        return jobs

    def choose(self, widths: Mapping[str, Solution]) -> dict[str, Any]:
        """For each variant its trials with their validation losses, the least being chosen.

        Raises:
            UserError: every trial of a variant failed.
        """
        tuning = self.study.tuning
        assert tuning is not None
        found = {}
        for variant in self.study.variants.values():
            trials = []
            for number, trial in enumerate(tuning.trials()):
                folders = [self.out / "tuning" / f"{variant.name}-trial{number}-seed{seed}" for seed in tuning.seeds]
                losses = [best_loss(folder) for folder in folders]
                there = [loss for loss in losses if loss is not None]
                loss = math.fsum(there) / len(there) if len(there) == len(losses) else None
                trials.append({"options": trial, "per_seed": losses, "loss": loss, "chosen": False})
            learnt = [trial for trial in trials if trial["loss"] is not None]
            if not learnt:
                raise UserError(f"{variant.place}: every trial of {variant.name} failed; see the logs in {self.ledger.folder}")
            min(learnt, key=lambda trial: trial["loss"])["chosen"] = True
            found[variant.name] = {"trials": trials, "length_penalty": None}
        return found

    def penalty_jobs(self, chosen: Mapping[str, Any], widths: Mapping[str, Solution]) -> list[Job]:
        """The validation set by the chosen trial of each variant, with every length penalty."""
        tuning = self.study.tuning
        if tuning is None:
            return []
        jobs = []
        for variant in self.study.variants.values():
            trials = chosen[variant.name]["trials"]
            number = next(index for index, trial in enumerate(trials) if trial["chosen"])
            options = [*self.base_words(variant, widths), *option_words(trials[number]["options"])]
            name = f"{variant.name}-trial{number}"
            for penalty in tuning.length_penalties:
                for seed in tuning.seeds:
                    more = ("--resume", "--subset", "valid", "--lenpen", f"{penalty:g}", "--gen", penalty_folder(penalty))
                    command = self.recipe.command(variant, seed, self.out / "tuning", name, *more, options=options)
                    title = f"length penalty {penalty:g} of {variant.name}"
                    jobs.append(
                        self._job(f"tuning/{name}-seed{seed}-lenpen{penalty:g}", title, [command], "length penalty")
                    )
        return jobs

    def choose_penalties(self, chosen: dict[str, Any], score: Callable[[Path], tuple[float, float | None]]) -> None:
        """Add what each length penalty scores on the validation set, the best being chosen, of equal ones that next to 1.

        Args:
            score: of a folder with a translation: BLEU or F1, and hypothesis length over reference length.
        """
        tuning = self.study.tuning
        if tuning is None or not tuning.length_penalties:
            return
        for name, found in chosen.items():
            number = next(index for index, trial in enumerate(found["trials"]) if trial["chosen"])
            rows = []
            for penalty in tuning.length_penalties:
                folders = [
                    self.out / "tuning" / f"{name}-trial{number}-seed{seed}" / penalty_folder(penalty)
                    for seed in tuning.seeds
                ]
                scores = [score(folder) for folder in folders]
                ratios = [ratio for _, ratio in scores if ratio is not None]
                rows.append(
                    {
                        "value": penalty,
                        "score": math.fsum(value for value, _ in scores) / len(scores),
                        "ratio": math.fsum(ratios) / len(ratios) if ratios else None,
                        "chosen": False,
                    }
                )
            max(rows, key=lambda row: (row["score"], -abs(row["value"] - 1)))["chosen"] = True
            found["length_penalty"] = rows

    # ------------------------------------------------------------------ what is compared

    def run_jobs(self, widths: Mapping[str, Solution], chosen: Mapping[str, Any], only: Sequence[str] = ()) -> list[Job]:
        """Every variant with every seed, seeds first, so that there is something to compare early."""
        jobs = []
        for seed, name in self.seeds_and_variants():
            variant = self.study.variants[name]
            if not only or name in only:
                options, more = self.base_words(variant, widths), ["--resume"]
                found = chosen.get(variant.name)
                if found:
                    trial = next(trial for trial in found["trials"] if trial["chosen"])
                    options += option_words(trial["options"])
                    for row in found["length_penalty"] or []:
                        more += ["--lenpen", f"{row['value']:g}"] if row["chosen"] else []
                command = self.recipe.command(variant, seed, self.out / "runs", variant.name, *more, options=options)
                folder = self.folder(variant.name, seed)
                title = f"{variant.name} seed {seed}"
                jobs.append(self._job(f"runs/{folder.name}", title, [command, *self.evaluate(folder)], "run", variant))
        return jobs

    def seeds_and_variants(self) -> list[tuple[int, str]]:
        """The runs, in the order in which they are begun."""
        return [(seed, name) for seed in self.seeds for name in self.study.variants]

    def measures(self, widths: Mapping[str, Solution]) -> None:
        """Operations a token of every variant's training, and that all read the same batches.

        Raises:
            UserError: a variant reads others.
        """
        if not self.trainings:
            return
        described = {
            name: parsed(self.recipe.describe(variant, self.base_words(variant, widths), self.out / "runs"), variant.place)
            for name, variant in self.study.variants.items()
        }
        request = {name: self.base_words(variant, widths) for name, variant in self.study.variants.items()}
        self.once("operations", request, lambda: {name: operations(args) for name, args in described.items()})
        for seed in self.seeds:
            self.once(f"batches/seed{seed}", request, lambda seed=seed: self._batches(described, seed))  # type: ignore[misc]

    def _batches(self, described: Mapping[str, Namespace], seed: int) -> dict[str, Any]:
        """What the trainings of a seed read, which is to be the same."""
        updates = int(next(iter(described.values())).max_update)
        first = ""
        for name, args in described.items():
            seeded = copy.copy(args)
            seeded.seed = seed
            batches = Batches(seeded)
            fingerprint = batches.fingerprint(batches.model(), updates)
            first = first or fingerprint
            if fingerprint != first:
                raise UserError(
                    f"{self.study.variants[name].place}: {name} reads other batches than {self.study.baseline} with seed "
                    f"{seed}; an option of it changes the data or the batches"
                )
        return {"updates": updates, "fingerprint": first}

    def _job(self, name: str, title: str, commands: list[list[str]], kind: str, variant: Variant | None = None) -> Job:
        updates = 0
        if self.trainings:
            updates = int(next(iter(self.trainings.values())).option("--max-update") or 0)
        place = variant.place if variant else str(self.study.file)
        return Job(name, title, commands, self.out / name, updates, kind, place)

    # ------------------------------------------------------------------ results that are made once

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
                        f"{self.study.file}: {path} was made for another study than the file now says; take another --out, "
                        "or remove the folder to begin anew"
                    )
                return found["result"]
            result = make()
            content = json.dumps({"request": request, "result": result}, indent=2, sort_keys=True)
            write_whole(path, f"{content}\n".encode())
            return json.loads(content)["result"]


def conduct(conductor: Conductor, engine: Engine, only: Sequence[str], score: Callable[[Path], tuple[float, float | None]]) -> None:
    """All stages, up to the last run.

    Raises:
        UserError: a stage on which the others build has failed.
        Stopped: by a signal.
    """
    study, recipe = conductor.study, conductor.recipe
    if not recipe.is_glue():
        prepare = Job("prepare", "the data", [recipe.prepare_command()], kind="prepare", place=study.recipe_place)
        engine.run([prepare])
        for failure in engine.failures([prepare]).values():
            raise UserError(f"{study.recipe_place}: the data could not be prepared: {said(failure['last_lines'])}")
    widths = conductor.widths()
    trials = conductor.trial_jobs(widths)
    engine.later = conductor.run_jobs(widths, {}, only)
    engine.run(trials)
    chosen = tuned(conductor, engine, widths, score) if trials else {}
    engine.later = []
    conductor.measures(widths)
    engine.run(conductor.run_jobs(widths, chosen, only))


def tuned(
    conductor: Conductor,
    engine: Engine,
    widths: Mapping[str, Solution],
    score: Callable[[Path], tuple[float, float | None]],
) -> dict[str, Any]:
    """What is chosen for each variant of what was tried; the length penalty after the rest."""
    tuning = conductor.study.tuning
    assert tuning is not None
    chosen = conductor.choose(widths)
    penalties = conductor.penalty_jobs(chosen, widths)
    engine.run(penalties)
    for failure in engine.failures(penalties).values():
        raise UserError(f"{tuning.place}: {failure['title']} failed: {said(failure['last_lines'])}")

    def make() -> dict[str, Any]:
        conductor.choose_penalties(chosen, score)
        return chosen

    request = {"grid": dict(tuning.grid), "seeds": tuning.seeds, "length penalties": tuning.length_penalties}
    return conductor.once("tuning", request, make)


def with_added(study: Study, out: Path) -> tuple[int, ...]:
    """The study's seeds and those that were added later."""
    path = out / "added_seeds.json"
    added = read_json(path)["seeds"] if path.is_file() else []
    return (*study.seeds, *(seed for seed in added if seed not in study.seeds))


def add_seeds(study: Study, out: Path, said_seeds: str) -> None:
    """Add seeds to a study for this and every later call.

    Raises:
        UserError: they are none, or used for tuning.
    """
    found = read_seeds(said_seeds, "--add-seeds")
    for seed in found:
        if study.tuning and seed in study.tuning.seeds:
            raise UserError(f"--add-seeds: seed {seed} is one that the tuning uses; take others")
    known = with_added(study, out)
    seeds = [seed for seed in known if seed not in study.seeds] + [seed for seed in found if seed not in known]
    write_whole(out / "added_seeds.json", f"{json.dumps({'seeds': seeds})}\n".encode())


def best_loss(folder: Path) -> float | None:
    """The least validation loss of a finished training, in nats; None where there is none."""
    if not (folder / "done").is_file():
        return None
    _, curve = read_log(folder / "train.log")
    losses = [bits * math.log(2) for _, bits in curve if math.isfinite(bits)]
    return min(losses, default=None)


def penalty_folder(penalty: float) -> str:
    """Where a translation with a length penalty lies in its run."""
    return f"gen.valid-lenpen{penalty:g}"


def said(lines: Sequence[str]) -> str:
    """The sentence among the last lines."""
    return said_error("\n".join(lines))


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


def with_checkpoints(study: Study) -> None:
    """GLUE fine-tunes what each variant names, and can neither be tuned nor given a budget.

    Raises:
        UserError: a variant names no checkpoint, or the study asks for what GLUE has not.
    """
    for variant in study.variants.values():
        if variant.checkpoint is None:
            raise UserError(f"{variant.place}: {variant.name} needs checkpoint:, the pretrained model to fine-tune")
    if study.tuning:
        raise UserError(
            f"{study.tuning.place}: GLUE's development sets are what is reported, and choosing by them would flatter the "
            "chosen; give one --lr for all under with:"
        )
    if study.budget:
        raise UserError(f"{study.budget.place}: the models are trained already; hold the budget equal where they are pretrained")

