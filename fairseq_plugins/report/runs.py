"""What a training left in its folder.

A run is a folder of ``scripts/train.sh``. Runs of the same name but for ``-seedN`` form a group: one model under
several seeds.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike

SEED_SUFFIX = re.compile(r"[-_.]seed(\d+)$")
PARAMETERS = re.compile(r"num\. shared model params: ([\d,]+)")
RECORD = re.compile(r"\| INFO \| (?P<tag>[^|]+) \| (?P<stats>\{.*\})\s*$")


@dataclass
class Run:
    """One trained model.

    Attributes:
        curve: (updates, validation loss in bits, as fairseq's log has it), in order.
        record: what ``run.json`` says: command, data, versions.
    """

    folder: str
    name: str
    arch: str
    seed: int
    parameters: int
    updates: int
    seconds: float
    curve: list[tuple[int, float]]
    record: dict[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def commit(self) -> str | None:
        """Of the checkout that made it, as ``run.json`` says; None where there was none."""
        commit = self.record.get("versions", {}).get("commit", "")
        return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None

    def as_record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        chosen = ("folder", "seed", "updates", "seconds")
        return {**{name: getattr(self, name) for name in chosen}, "validation": self.curve}

    def in_nats(self) -> list[tuple[int, float]]:
        """The curve in nats."""
        return [(updates, bits * math.log(2)) for updates, bits in self.curve]


AnyRun = TypeVar("AnyRun", bound=Run)


class Seeded(Protocol):
    """What a folder holds of one model under one seed."""

    @property
    def folder(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...


AnySeeded = TypeVar("AnySeeded", bound=Seeded)


def read_run(folder: PathLike) -> Run:
    """Read a finished run's folder.

    Raises:
        UserError: something is missing or damaged; the message names the file and the remedy.
    """
    path = Path(folder)
    record = read_json(path / "run.json", "train with scripts/train.sh")
    done = read_json(path / "done", "the training is not finished; go on with --resume")
    parameters, curve = read_log(path / "train.log")
    return Run(
        folder=str(path),
        name=SEED_SUFFIX.sub("", path.resolve().name),
        arch=record["arch"],
        seed=int(record["seed"]),
        parameters=parameters,
        updates=done["updates"],
        seconds=done.get("seconds", math.nan),
        curve=curve,
        record=record,
    )


def read_log(path: PathLike) -> tuple[int, list[tuple[int, float]]]:
    """The number of parameters and the validation losses in fairseq's log (``--log-format json``)."""
    parameters, curve = 0, {}
    with open(existing(path), encoding="utf-8", errors="replace") as log:
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
        raise UserError(f"{path} does not say how many parameters the model has")
    return parameters, sorted(curve.items())


def validated(run: AnyRun) -> AnyRun:
    """The run, which must have validation losses.

    Raises:
        UserError: it has none.
    """
    if not run.curve:
        raise UserError(f"{run.folder}/train.log has no validation loss; train without --disable-validation")
    return run


def grouped(runs: Iterable[AnyRun]) -> dict[str, list[AnyRun]]:
    """Runs by name, each group in the order of its seeds.

    Raises:
        UserError: two runs of a group have one seed, or its models differ in size.
    """
    groups = by_name(runs)
    for name, members in groups.items():
        check_size(name, members)
    return groups


def by_name(seeded: Iterable[AnySeeded]) -> dict[str, list[AnySeeded]]:
    """What was made under several seeds by its name, each group in the order of its seeds.

    Raises:
        UserError: two of a group have one seed.
    """
    groups: dict[str, list[AnySeeded]] = {}
    for one in seeded:
        groups.setdefault(one.name, []).append(one)
    for name, members in groups.items():
        members.sort(key=lambda one: one.seed)
        for first, second in itertools.pairwise(members):
            if first.seed == second.seed:
                raise UserError(f"{first.folder} and {second.folder} are both '{name}' with seed {first.seed}")
    return groups


def check_size(name: str, runs: Sequence[Run]) -> None:
    """Look whether the runs of a group are of one size.

    Raises:
        UserError: they are not.
    """
    sizes = sorted({run.parameters for run in runs})
    if len(sizes) > 1:
        raise UserError(f"the runs of '{name}' differ in size ({', '.join(map(str, sizes))} parameters)")


def baseline_first(groups: Mapping[str, Any], baseline: str | None) -> dict[str, Any]:
    """The groups, that of the baseline first: of that name, or ``baseline``, or the first.

    Raises:
        UserError: no group has that name.
    """
    first = baseline or ("baseline" if "baseline" in groups else next(iter(groups)))
    if first not in groups:
        raise UserError(f"--baseline {baseline}: choose from {', '.join(groups)}")
    return {first: groups[first], **groups}


def existing(path: PathLike, *others: PathLike) -> Path:
    """The first of the files that is there.

    Raises:
        UserError: none is.
    """
    for candidate in map(Path, (path, *others)):
        if candidate.is_file():
            return candidate
    raise UserError(f"no file {path}")


def read_json(path: PathLike, remedy: str = "make it") -> dict[str, Any]:
    """What a file of ours holds.

    Raises:
        UserError: it is not there, for which ``remedy`` is said, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}: {remedy}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); remove it and make it again") from error
