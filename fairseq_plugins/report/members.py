"""Runs that were read, as members of a comparison, and a comparison of runs that somebody chose by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairseq_plugins.lines import PathLike

from .losses_by_block import TokenLosses, loss_units
from .results import Circumstances, Member, results_of
from .runs import baseline_first, grouped, read_run
from .tables import listed
from .translations import Translation, length_ratio, translation_units


def translation_member(run: Translation, metrics: Mapping[str, Any]) -> Member:
    """A translation; ``metrics`` as for :func:`.translations.translation_units`."""
    units = translation_units(run, metrics)
    return Member(run, units, length_ratio(units["BLEU"]))


def loss_member(folder: PathLike, losses: TokenLosses) -> Member:
    """A language model's run, and its losses token by token."""
    return Member(read_run(folder), loss_units(losses))


def by_variant(members: Sequence[Member], baseline: str | None = None) -> dict[str, list[Member]]:
    """Members by the name of their runs, each group in the order of its seeds, the baseline first.

    Raises:
        UserError: as :func:`.runs.grouped` and :func:`.runs.baseline_first`.
    """
    groups = baseline_first(grouped([member.run for member in members]), baseline)
    of_run = {(member.run.name, member.run.seed): member for member in members}
    return {name: [of_run[name, run.seed] for run in runs] for name, runs in groups.items()}


def comparison(
    members: Mapping[str, Sequence[Member]], task: str, primary: str, test_set: str, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """The results of runs that no study planned, without what only a study knows.

    Args:
        members: as :func:`by_variant` has them.
        task: the kind of study that it would be.
        primary: the metric by which the verdict is.
        test_set: what it is called.
        notes: below the tables.

    Raises:
        UserError: the runs do not go together.
    """
    baseline, *others = members
    first = members[baseline][0].run
    versions = {name: version for name, version in first.record.get("versions", {}).items() if name != "commit"}
    about = Circumstances(
        task=task,
        title=f"{listed(others)} against {baseline}" if others else baseline,
        test_set=test_set,
        notes=notes,
        provenance={
            "versions": versions,
            "machine": None,
            "commit": first.commit,
            "threads": None,
        },
    )
    return results_of(members, baseline, about, primary)


def data_of(members: Mapping[str, Sequence[Member]]) -> Path:
    """The binarised data that the first run was trained on, if they are still there."""
    first = next(iter(members.values()))[0].run
    return Path(first.record.get("data", "no data"))
