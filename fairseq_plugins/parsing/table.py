"""The table of trained parsers: a row a model, over its seeds."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from fairseq_plugins.corpus import PathLike
from fairseq_plugins.losses import load_run
from fairseq_plugins.results import Run, grouped, mean_deviation

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
    score: Dict[str, Any]


def load_parser(folder: PathLike) -> Parser:
    """Read a run of ``examples/attention_is_all_you_need/parsing.sh``.

    Raises:
        ValueError: something is missing or damaged; the message names the file and the remedy.
    """
    path = Path(folder) / "gen.test" / "evalb.json"
    try:
        return Parser(load_run(folder), json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"no file {path}: score the run with fairseq-plugins parse-score --json") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}); score the run again") from None


def summarise(parsers: Sequence[Parser]) -> Dict[str, Any]:
    """Everything that the table says, as plain data; scores in percent.

    Raises:
        ValueError: two runs are the same model and seed, or runs of one model differ in size, or test sets differ.
    """
    golds = sorted({(parser.score["gold"], parser.score["all"]["sentences"]) for parser in parsers})
    if len(golds) > 1:
        raise ValueError(f"the runs were scored against {golds[0][0]} and {golds[1][0]}; give those of one test set")
    scores = {parser.run.folder: parser.score for parser in parsers}
    rows = []
    for name, runs in grouped([parser.run for parser in parsers]).items():
        sizes = sorted({run.parameters for run in runs})
        if len(sizes) > 1:
            raise ValueError(f"the runs of '{name}' differ in size ({', '.join(map(str, sizes))} parameters)")
        rows.append(
            {
                "name": name,
                "arch": runs[0].arch,
                "parameters": sizes[0],
                "scores": {
                    column: mean_deviation([scores[run.folder][block][key] for run in runs])
                    for column, (block, key) in COLUMNS.items()
                },
                "repaired": mean_deviation([scores[run.folder]["repaired"]["sentences"] for run in runs]),
                "runs": [
                    {
                        "folder": run.folder,
                        "seed": run.seed,
                        "updates": run.updates,
                        "seconds": run.seconds,
                        "validation": run.curve,
                        "score": scores[run.folder],
                    }
                    for run in runs
                ],
            }
        )
    return {"gold": golds[0][0], "sentences": golds[0][1], "rows": rows}


def markdown(summary: Dict[str, Any]) -> str:
    """The table."""
    header = ["model", "parameters", "seeds", *COLUMNS, "sentences repaired", "best validation loss", "updates"]
    lines = [[*header, "training time"], ["---"] * (len(header) + 1)]
    for row in summary["rows"]:
        runs = row["runs"]
        lines.append(
            [
                row["name"],
                f"{row['parameters']:,}",
                ", ".join(str(run["seed"]) for run in runs),
                *(_spread(row["scores"][column]) for column in COLUMNS),
                _spread(row["repaired"], digits=1),
                _spread(mean_deviation([min(loss for _, loss in run["validation"]) for run in runs]), digits=3),
                ", ".join(map(str, sorted({run["updates"] for run in runs}))),
                f"{mean_deviation([run['seconds'] for run in runs])[0] / 60:.1f} min",
            ]
        )
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return (
        f"{text}\n\n- {summary['sentences']} sentences; ± is the sample standard deviation over the seeds.\n"
        "- Labelled brackets by EVALB's conventions with the parameters of COLLINS.prm; tags are the gold ones."
    )


def _spread(value: Tuple[float, Optional[float]], digits: int = 2) -> str:
    mean, deviation = value
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def as_csv(summary: Dict[str, Any]) -> str:
    """One line a run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["model", "arch", "parameters", "seed", *COLUMNS, "sentences repaired", "updates", "seconds", "folder"]
    )
    for row in summary["rows"]:
        for run in row["runs"]:
            scores: List[str] = [f"{run['score'][block][key]:.4f}" for block, key in COLUMNS.values()]
            start = [row["name"], row["arch"], row["parameters"], run["seed"]]
            end = [run["score"]["repaired"]["sentences"], run["updates"], run["seconds"], run["folder"]]
            writer.writerow([*start, *scores, *end])
    return text.getvalue()
