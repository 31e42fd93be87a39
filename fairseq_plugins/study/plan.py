"""How many runs a study has and about how long they take, before any of them."""

from __future__ import annotations

import statistics
import time

import torch

from .checks import parsed
from .conduct import Conductor
from .engine import clock
from .recipes import Training
from .tuning import trial_jobs

#: steps that are timed for a variant
STEPS = 3


def show_plan(conductor: Conductor, slots: int, threads: int | None) -> None:
    """Print what runs, what is done, and the time, by what finished runs took or else by a few steps of each model."""
    study, ledger = conductor.study, conductor.ledger
    trials, runs = trial_jobs(conductor, {}), conductor.run_jobs({}, {})
    seeds = conductor.seeds
    print(f"plan: {study.title}, {study.recipe.name}")
    names = ", ".join(study.variants)
    print(f"  runs         {len(runs)}: {len(study.variants)} variants ({names}) x {len(seeds)} seeds")
    translations = 0
    if study.tuning:
        each = len(study.tuning.trials())
        translations = len(study.variants) * len(study.tuning.length_penalties) * len(study.tuning.seeds)
        print(
            f"  tuning       {len(trials)} trials: {each} settings x {len(study.tuning.seeds)} seeds for every variant"
            + (f", {translations} translations of the validation set" if translations else "")
        )
    for variant in study.variants.values():
        if variant.budget:
            budget = variant.budget
            print(f"  budget       {variant.name}: {budget.quantity} of {budget.to}, to {100 * budget.tolerance:g} %")
    done = sum(1 for job in [*trials, *runs] if ledger.path(job, "json").is_file())
    print(f"  done         {done} of {len(runs) + len(trials)}")
    known = ledger.seconds("run")
    if known:
        seconds = statistics.median(known) * (len(runs) + len(trials) - done) / slots
        print(
            f"  time         about {clock(seconds)} left, by the {len(known)} runs that are done, {slots} side by side"
        )
    elif conductor.trainings:
        torch.set_num_threads(threads or max(1, torch.get_num_threads() // slots))
        each_run = {name: seconds_of(training) for name, training in conductor.trainings.items()}
        per_variant = len(seeds) + (len(study.tuning.trials()) * len(study.tuning.seeds) if study.tuning else 0)
        seconds = sum(each_run.values()) * per_variant / slots
        print(
            f"  time         about {clock(seconds)} of training on this machine's CPU, {slots} side by side with "
            f"{torch.get_num_threads()} threads each, by {STEPS} steps of each model; translation not counted"
        )


def seconds_of(training: Training) -> float:
    """Seconds of a training here, by a few forward and backward passes over random tokens."""
    from fairseq_plugins.checkpoints.building import Vocabularies, build, family_of
    from fairseq_plugins.training_plan import forward, sequence_length, tokens_a_device

    args = parsed(training, "plan")
    kind = family_of(args.arch)
    model = build(args, Vocabularies(training.vocabulary, training.vocabulary)).train()
    length = sequence_length(args, kind)
    rows = max(1, tokens_a_device(args, kind) // length)
    tokens = torch.arange(rows * length).reshape(rows, length) % (training.vocabulary - 4) + 4
    seconds = []
    for _ in range(STEPS + 1):
        begun = time.perf_counter()
        forward(model, kind, tokens).float().logsumexp(-1).sum().backward()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:]) * int(args.update_freq[0]) * int(args.max_update or 0)
