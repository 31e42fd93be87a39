"""Equal tuning: for every variant the same trials with the same seeds, chosen by the validation set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.results import best_loss
from fairseq_plugins.report.runs import read_run

from .budget import Solution
from .engine import Engine
from .jobs import Job
from .recipes import said_error
from .spec import option_words

if TYPE_CHECKING:
    from .conduct import Conductor

#: of a folder with a translation: BLEU or F1, and hypothesis length over reference length
Score = Callable[[Path], "tuple[float, float | None]"]


def tune(conductor: Conductor, engine: Engine, widths: Mapping[str, Solution], score: Score) -> dict[str, Any]:
    """For each variant its trials and length penalties, one of each marked as chosen; the penalty after the rest.

    Raises:
        UserError: every trial of a variant failed, or a translation of the validation set.
    """
    tuning = conductor.study.tuning
    if tuning is None:
        return {}
    engine.run(trial_jobs(conductor, widths))
    chosen = choose(conductor)
    penalties = penalty_jobs(conductor, widths, chosen)
    engine.run(penalties)
    for failure in engine.failures(penalties).values():
        reason = said_error("\n".join(failure["last_lines"]))
        raise UserError(f"{tuning.place}: {failure['title']} failed: {reason}")
    request = [dict(tuning.grid), tuning.seeds, tuning.length_penalties]
    return conductor.once("tuning", request, lambda: with_penalties(conductor, chosen, score))


def trial_jobs(conductor: Conductor, widths: Mapping[str, Solution]) -> list[Job]:
    """Every trial of every variant, with each of the tuning's seeds."""
    tuning = conductor.study.tuning
    jobs = []
    for variant in conductor.study.variants.values() if tuning else []:
        for number, trial in enumerate(tuning.trials()):  # type: ignore[union-attr]
            options = [*conductor.base_words(variant, widths), *option_words(trial)]
            for seed in tuning.seeds:  # type: ignore[union-attr]
                name = f"{variant.name}-trial{number}"
                command = conductor.recipe.command(
                    variant, seed, conductor.out / "tuning", name, "--resume", "--until", "train", options=options
                )
                said = " ".join(option_words(trial)) or "as it is"
                title = f"trial of {variant.name} ({said}) seed {seed}"
                jobs.append(conductor.job(f"tuning/{name}-seed{seed}", title, [command], "trial", variant))
    return jobs


def choose(conductor: Conductor) -> dict[str, Any]:
    """The trials with their validation losses, the least being chosen.

    Raises:
        UserError: every trial of a variant failed.
    """
    tuning = conductor.study.tuning
    assert tuning is not None
    found = {}
    for variant in conductor.study.variants.values():
        trials: list[dict[str, Any]] = []
        for number, trial in enumerate(tuning.trials()):
            losses = [loss_of(trial_folder(conductor, variant.name, number, seed)) for seed in tuning.seeds]
            loss = None if None in losses else math.fsum(loss for loss in losses if loss is not None) / len(losses)
            trials.append({"options": trial, "per_seed": losses, "loss": loss, "chosen": False})
        learnt = [trial for trial in trials if trial["loss"] is not None]
        if not learnt:
            logs = conductor.ledger.folder / "tuning"
            raise UserError(f"{variant.place}: no trial of {variant.name} ended well; the logs are in {logs}")
        min(learnt, key=lambda trial: float(trial["loss"]))["chosen"] = True
        found[variant.name] = {"trials": trials, "length_penalty": None}
    return found


def penalty_jobs(conductor: Conductor, widths: Mapping[str, Solution], chosen: Mapping[str, Any]) -> list[Job]:
    """The validation set by the chosen trial of each variant, with every length penalty."""
    tuning = conductor.study.tuning
    assert tuning is not None
    jobs = []
    for variant in conductor.study.variants.values():
        number, trial = chosen_trial(chosen[variant.name])
        options = [*conductor.base_words(variant, widths), *option_words(trial["options"])]
        name = f"{variant.name}-trial{number}"
        for penalty in tuning.length_penalties:
            for seed in tuning.seeds:
                more = ("--resume", "--subset", "valid", "--lenpen", f"{penalty:g}", "--gen", penalty_folder(penalty))
                command = conductor.recipe.command(
                    variant, seed, conductor.out / "tuning", name, *more, options=options
                )
                title = f"length penalty {penalty:g} of {variant.name} seed {seed}"
                kind = "length penalty"
                jobs.append(
                    conductor.job(f"tuning/{name}-seed{seed}-lenpen{penalty:g}", title, [command], kind, variant)
                )
    return jobs


def with_penalties(conductor: Conductor, chosen: dict[str, Any], score: Score) -> dict[str, Any]:
    """Add what each length penalty scores, the best being chosen, and of equally good ones that next to 1."""
    tuning = conductor.study.tuning
    assert tuning is not None
    for name, found in chosen.items() if tuning.length_penalties else []:
        number, _ = chosen_trial(found)
        rows = []
        for penalty in tuning.length_penalties:
            folders = [trial_folder(conductor, name, number, seed) / penalty_folder(penalty) for seed in tuning.seeds]
            scores = [score(folder) for folder in folders]
            ratios = [ratio for _, ratio in scores if ratio is not None]
            mean = math.fsum(value for value, _ in scores) / len(scores)
            ratio = math.fsum(ratios) / len(ratios) if ratios else None
            rows.append({"value": penalty, "score": mean, "ratio": ratio, "chosen": False})
        best = max(range(len(rows)), key=lambda at: (rows[at]["score"], -abs(tuning.length_penalties[at] - 1)))
        rows[best]["chosen"] = True
        found["length_penalty"] = rows
    return chosen


def chosen_trial(found: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """The number and the record of what was chosen."""
    return next((number, trial) for number, trial in enumerate(found["trials"]) if trial["chosen"])


def trial_folder(conductor: Conductor, variant: str, number: int, seed: int) -> Path:
    """Where a trial lies."""
    return conductor.out / "tuning" / f"{variant}-trial{number}-seed{seed}"


def loss_of(folder: Path) -> float | None:
    """The least validation loss of a finished training, in nats; None where there is none."""
    return best_loss(read_run(folder)) if (folder / "done").is_file() else None


def penalty_folder(penalty: float) -> str:
    """Where a translation with a length penalty lies in its run."""
    return f"gen.valid-lenpen{penalty:g}"
