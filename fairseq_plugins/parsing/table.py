"""The comparison of trained parsers: runs of ``examples/attention_is_all_you_need/parsing.sh``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.members import by_variant
from fairseq_plugins.report.results import Member
from fairseq_plugins.report.runs import read_json
from fairseq_plugins.report.statistics import mean_deviation
from fairseq_plugins.report.tables import spread

from .units import parser_member


def read_parsers(folders: Sequence[PathLike], baseline: str | None = None) -> tuple[dict[str, list[Member]], list[str]]:
    """Variant -> its runs, and how many sentences of each variant had to be repaired, in a note each.

    Raises:
        UserError: something is missing or damaged, or the runs do not go together; the message names it.
    """
    scores = {str(Path(folder)): _score(folder) for folder in folders}
    golds = sorted({(score["gold"], score["all"]["sentences"]) for score in scores.values()})
    if len(golds) > 1:
        raise UserError(f"the runs were scored against {golds[0][0]} and {golds[1][0]}; give those of one test set")
    members = by_variant([parser_member(folder) for folder in folders], baseline)
    notes = []
    for name, runs in members.items():
        repaired = [scores[member.run.folder].get("repaired", {}).get("sentences", 0) for member in runs]
        notes.append(f"{name}: {spread(mean_deviation(repaired), 1)} of {golds[0][1]} sentences were repaired.")
    return members, notes


def _score(folder: PathLike) -> Mapping:
    return read_json(Path(folder) / "gen.test" / "evalb.json", "score the run with fairseq-plugins parse-score --json")
