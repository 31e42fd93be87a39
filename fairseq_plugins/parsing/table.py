"""The table of trained parsers: a row a model, over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.runs import Run, grouped, read_json, read_run, row_of, validated
from fairseq_plugins.report.statistics import mean_deviation
from fairseq_plugins.report.tables import csv_table, listed, markdown_table, minutes, spread

#: column -> block and name of the score
COLUMNS = {
    "F1": ("all", "f1"),
    "recall": ("all", "recall"),
    "precision": ("all", "precision"),
    "complete match": ("all", "complete match"),
    "F1, up to 40 words": ("short", "f1"),
}


class Parser(NamedTuple):
    """One trained model, and what ``fairseq-plugins parse-score`` wrote of it."""

    run: Run
    score: Mapping[str, Any]


def load_parser(folder: PathLike) -> Parser:
    """Read a run of ``examples/attention_is_all_you_need/parsing.sh``.

    Raises:
        UserError: something is missing or damaged; the message names the file and the remedy.
    """
    path = Path(folder) / "gen.test" / "evalb.json"
    return Parser(validated(read_run(folder)), read_json(path, "score the run with fairseq-plugins parse-score --json"))


def summarise(parsers: Sequence[Parser]) -> dict[str, Any]:
    """Everything that the table says, as plain data; scores in percent.

    Raises:
        UserError: two runs are the same model and seed, or runs of one model differ in size, or test sets differ.
    """
    golds = sorted({(parser.score["gold"], parser.score["all"]["sentences"]) for parser in parsers})
    if len(golds) > 1:
        raise UserError(f"the runs were scored against {golds[0][0]} and {golds[1][0]}; give those of one test set")
    scores = {parser.run.folder: parser.score for parser in parsers}
    rows = []
    for name, runs in grouped([parser.run for parser in parsers]).items():
        found = [scores[run.folder] for run in runs]
        records = [{**run.as_record(), "validation": run.in_nats(), "score": score} for run, score in zip(runs, found)]
        columns = {
            column: mean_deviation([score[block][key] for score in found]) for column, (block, key) in COLUMNS.items()
        }
        repaired = mean_deviation([score["repaired"]["sentences"] for score in found])
        rows.append({**row_of(name, runs), "scores": columns, "repaired": repaired, "runs": records})
    return {"gold": golds[0][0], "sentences": golds[0][1], "rows": rows}


def markdown(summary: dict[str, Any]) -> str:
    """The table."""
    header = ["model", "parameters", "seeds", *COLUMNS, "sentences repaired", "best validation loss", "updates"]
    rows = []
    for row in summary["rows"]:
        runs = row["runs"]
        best = [min(loss for _, loss in run["validation"]) for run in runs]
        rows.append(
            [
                row["name"],
                f"{row['parameters']:,}",
                listed(run["seed"] for run in runs),
                *(spread(row["scores"][column]) for column in COLUMNS),
                spread(row["repaired"], digits=1),
                spread(mean_deviation(best), digits=3),
                listed(sorted({run["updates"] for run in runs})),
                minutes(mean_deviation([run["seconds"] for run in runs])[0]),
            ]
        )
    notes = [
        f"{summary['sentences']} sentences; ± is the sample standard deviation over the seeds.",
        "Labelled brackets by EVALB's conventions with the parameters of COLLINS.prm; tags are the gold ones.",
    ]
    return markdown_table([*header, "training time"], rows, notes)


def as_csv(summary: dict[str, Any]) -> str:
    """One line a run."""
    lines: list[Sequence[Any]] = []
    for row in summary["rows"]:
        for run in row["runs"]:
            scores = [f"{run['score'][block][key]:.4f}" for block, key in COLUMNS.values()]
            start = [row["name"], row["arch"], row["parameters"], run["seed"]]
            end = [run["score"]["repaired"]["sentences"], run["updates"], run["seconds"], run["folder"]]
            lines.append([*start, *scores, *end])
    header = ["model", "arch", "parameters", "seed", *COLUMNS, "sentences repaired", "updates", "seconds", "folder"]
    return csv_table(header, lines)
