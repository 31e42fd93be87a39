"""STUDY.yaml: what is compared, with which seeds, and what is held equal."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_plugins.errors import UserError

from .yaml_file import Entry, read

#: what a study file may say, and a variant in it
KEYS = ("title", "question", "recipe", "with", "options", "variants", "baseline", "seeds", "budget", "tune", "test")
VARIANT_KEYS = ("variant", "options", "budget", "checkpoint")
QUANTITIES = ("parameters", "operations", "seconds")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*$")


@dataclass(frozen=True)
class Budget:
    """What is held equal, to which variant's, and how nearly (a fraction)."""

    quantity: str
    to: str
    place: str
    tolerance: float = 0.005


@dataclass(frozen=True)
class Variant:
    """One row of the comparison.

    Attributes:
        name: its row and the name of its runs.
        place: file and line.
        variant: the recipe's ``--variant``; None is the recipe's own of that name, or that of the baseline.
        options: words for fairseq-train.
        budget: what it has to meet: its own, or the study's; None where it stays as it is.
        checkpoint: what GLUE fine-tunes.
    """

    name: str
    place: str
    variant: str | None = None
    options: tuple[str, ...] = ()
    budget: Budget | None = None
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Tuning:
    """What is tried for every variant alike, with which seeds; the length penalties with what was chosen of it."""

    seeds: tuple[int, ...]
    place: str
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    length_penalties: tuple[float, ...] = ()

    def trials(self) -> list[dict[str, Any]]:
        """Every combination of the grid's values, in its order."""
        return [dict(zip(self.grid, values)) for values in itertools.product(*self.grid.values())]


@dataclass(frozen=True)
class Study:
    """A study file, read and checked as far as this is possible without its recipe."""

    file: Path
    title: str
    question: str | None
    recipe: Path
    recipe_place: str
    recipe_options: tuple[str, ...]
    options: tuple[str, ...]
    variants: Mapping[str, Variant]
    baseline: str
    seeds: tuple[int, ...]
    test: str
    tuning: Tuning | None = None


def load_study(file: Path, root: Path) -> Study:
    """Read a study file.

    Args:
        root: the project, in which a recipe is looked for if it does not lie beside the file.

    Raises:
        UserError: one sentence with file and line.
    """
    entry = read(file)
    said = entry.known(KEYS)
    for key in ("recipe", "variants", "seeds"):
        if key not in said:
            raise UserError(f"{file}: a study needs {key}:")
    recipe = _recipe(said["recipe"], file, root)
    names = list(said["variants"].table())
    if len(names) < 2:
        raise said["variants"].error("are to be two at least: something to compare with something")
    baseline = said["baseline"].text() if "baseline" in said else "baseline"
    if baseline not in names:
        where = said.get("baseline", said["variants"])
        raise UserError(f"{where.place}: the baseline {baseline!r} is none of the variants {', '.join(names)}")
    seeds = read_seeds(said["seeds"].value(), said["seeds"].place)
    common = _budget(said["budget"], baseline, names) if "budget" in said else None
    variants = {
        name: _variant(name, below, baseline, names, common) for name, below in said["variants"].table().items()
    }
    _no_chains(variants)
    tuning = _tuning(said["tune"], seeds) if "tune" in said else None
    title = said["title"].text() if "title" in said else file.resolve().parent.name
    return Study(
        file=file,
        title=title,
        question=said["question"].text() if "question" in said else None,
        recipe=recipe,
        recipe_place=said["recipe"].place,
        recipe_options=_words(said["with"]) if "with" in said else (),
        options=_words(said["options"]) if "options" in said else (),
        variants={baseline: variants[baseline], **variants},
        baseline=baseline,
        seeds=seeds,
        test=said["test"].text() if "test" in said else "test",
        tuning=tuning,
    )


def read_seeds(value: Any, place: str) -> tuple[int, ...]:
    """``[1, 2, 3]``, ``1-3`` or ``1,2,3`` as numbers.

    Raises:
        UserError: they are none, or one stands twice.
    """
    parts = [str(part) for part in value] if isinstance(value, list) else str(value).split(",")
    found: list[int] = []
    for part in parts:
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise UserError(f"{place}: seeds are numbers such as 1-5 or [1, 2, 3], not {part!r}")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    for seed in found:
        if found.count(seed) > 1:
            raise UserError(f"{place}: seed {seed} stands there twice")
    if not found:
        raise UserError(f"{place}: seeds are to be one at least, such as 1-5")
    return tuple(found)


def option_words(options: Mapping[str, Any]) -> list[str]:
    """``{"lr": 0.003, "fp16": True}`` as words of a command line; what is False or empty is left out."""
    words: list[str] = []
    for name, value in options.items():
        if value is False or value is None:
            continue
        words += [f"--{name}"] if value is True else [f"--{name}", _plain(value)]
    return words


def _plain(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _words(entry: Entry) -> tuple[str, ...]:
    """Options, as one line or as a mapping without the dashes."""
    if entry.is_empty():
        return ()
    if entry.is_mapping():
        options = {name.removeprefix("--"): below.value() for name, below in entry.table().items()}
        for name, below in entry.table().items():
            if isinstance(below.value(), (list, dict)):
                raise UserError(f"{below.place}: {name} is to be one value")
        return tuple(option_words(options))
    try:
        words = shlex.split(entry.text())
    except ValueError as error:
        raise entry.error(f"cannot be split into words: {error}") from None
    if words and not words[0].startswith("-"):
        raise entry.error(f"are options, which begin with --, not {words[0]!r}")
    return tuple(words)


def _recipe(entry: Entry, file: Path, root: Path) -> Path:
    said = entry.text()
    for folder in (file.parent, root, root / "examples"):
        for name in (said, f"{said}.sh"):
            if (folder / name).is_file():
                return (folder / name).resolve()
    raise entry.error(
        f"{said}: no such script, beside {file} or in the project; for example examples/toy/translation.sh"
    )


def _variant(name: str, entry: Entry, baseline: str, names: Sequence[str], common: Budget | None) -> Variant:
    if not NAME.match(name):
        raise UserError(f"{entry.place}: {name!r} is no name for runs: letters, digits and . _ + - alone")
    if re.search(r"[-_.]seed\d+$", name):
        raise UserError(f"{entry.place}: {name!r} ends as the seed of a run does; take another name")
    if common and common.to == name:
        common = None
    if not entry.is_mapping():
        return Variant(name, entry.place, options=_words(entry), budget=common)
    said = entry.known(VARIANT_KEYS)
    own = common
    if "budget" in said:
        below = said["budget"]
        own = None if not below.is_mapping() and below.text() == "own" else _budget(below, baseline, names)
    if own and own.to == name:
        raise UserError(f"{own.place}: {name} cannot have its own budget to meet; say budget: own to leave it as it is")
    checkpoint = None
    if "checkpoint" in said:
        checkpoint = Path(said["checkpoint"].text())
        if not checkpoint.is_file():
            raise UserError(f"{said['checkpoint'].place}: no file {checkpoint}")
    return Variant(
        name,
        entry.place,
        variant=said["variant"].text() if "variant" in said else None,
        options=_words(said["options"]) if "options" in said else (),
        budget=own,
        checkpoint=checkpoint,
    )


def _budget(entry: Entry, baseline: str, names: Sequence[str]) -> Budget:
    said = entry.known(("equal", "to", "tolerance"))
    if "equal" not in said:
        raise entry.error(f"needs equal: {', '.join(QUANTITIES[:-1])} or {QUANTITIES[-1]}")
    quantity = said["equal"].text()
    if quantity not in QUANTITIES:
        raise UserError(f"{said['equal'].place}: equal: is to be one of {', '.join(QUANTITIES)}, not {quantity!r}")
    to = said["to"].text() if "to" in said else baseline
    if to not in names:
        where = said.get("to", entry).place
        raise UserError(f"{where}: no variant {to!r} to take the budget of; there are {', '.join(names)}")
    tolerance = said["tolerance"].value() if "tolerance" in said else 0.005
    if not isinstance(tolerance, float) or not 0 < tolerance < 1:
        raise UserError(f"{said['tolerance'].place}: tolerance is a fraction such as 0.005, not {tolerance!r}")
    return Budget(quantity, to, said.get("to", entry).place, tolerance)


def _no_chains(variants: Mapping[str, Variant]) -> None:
    """A budget is that of a model as it is: whoever is met must not have to meet another."""
    for variant in variants.values():
        if variant.budget and (next_one := variants[variant.budget.to].budget):
            raise UserError(
                f"{variant.budget.place}: {variant.name} is to meet the budget of {variant.budget.to}, which itself is "
                f"to meet that of {next_one.to}; say budget: own for {variant.budget.to}"
            )


def _tuning(entry: Entry, seeds: Sequence[int]) -> Tuning:
    said = entry.known(("seeds", "grid", "length-penalty"))
    if "seeds" not in said:
        raise entry.error("needs seeds: of its own, none of the study's")
    own = read_seeds(said["seeds"].value(), said["seeds"].place)
    both = sorted(set(own) & set(seeds))
    if both:
        raise UserError(f"{said['seeds'].place}: seed {both[0]} is one of the study's; tune with others")
    grid = {}
    for name, below in (said["grid"].table() if "grid" in said else {}).items():
        values = tuple(item.value() for item in below.items())
        if len(values) < 2 or len(set(map(str, values))) < len(values):
            raise UserError(f"{below.place}: {name} is to be a list of values to try, each once")
        grid[name.removeprefix("--")] = values
    penalties = []
    for item in said["length-penalty"].items() if "length-penalty" in said else []:
        value = item.value()
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
            raise UserError(f"{item.place}: length-penalty is a list of numbers such as [0.5, 1, 1.5]")
        penalties.append(float(value))
    if not grid and not penalties:
        raise entry.error("needs a grid: or a length-penalty: to choose from")
    if len(set(penalties)) < len(penalties):
        raise UserError(f"{said['length-penalty'].place}: a length penalty stands there twice")
    return Tuning(own, entry.place, grid, tuple(penalties))
