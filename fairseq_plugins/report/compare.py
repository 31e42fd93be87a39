"""The table of translation models: a row a model, over its seeds, against a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairseq_plugins.errors import UserError

from .runs import grouped, row_of
from .significance import paired_bootstrap
from .statistics import mean_deviation
from .tables import csv_table, listed, markdown_table, minutes, spread
from .translations import Translation, score


def summarise(runs: list[Translation], baseline: str | None = None, samples: int = 1000) -> dict[str, Any]:
    """Everything the table says, as plain data.

    Args:
        baseline: the row to test against (default: ``baseline``, or the first).
        samples: of the bootstrap.

    Raises:
        UserError: the runs do not go together, or there is no such row.
    """
    groups = grouped(runs)
    signatures = score(runs)
    baseline = baseline or ("baseline" if "baseline" in groups else next(iter(groups)))
    if baseline not in groups:
        raise UserError(f"--baseline {baseline}: choose from {', '.join(groups)}")
    others = {name: members for name, members in groups.items() if name != baseline}
    tests, test_signatures = paired_bootstrap(groups[baseline], others, samples)

    rows = []
    for name in [baseline, *others]:
        members = groups[name]
        scores = {}
        for metric in signatures:
            mean, deviation = mean_deviation([member.scores[metric] for member in members])
            against = [vars(test) for test in tests.get(name, {}).get(metric, [])]
            scores[metric] = {"mean": mean, "deviation": deviation, "against_baseline": against}
        seeds = [member.seed for member in members]
        records = [{**member.as_record(), "scores": member.scores} for member in members]
        rows.append({**row_of(name, members), "seeds": seeds, "scores": scores, "runs": records})
    return {
        "baseline": baseline,
        "sentences": len(runs[0].references),
        "rows": rows,
        "signatures": signatures,
        "test_signatures": test_signatures,
    }


def markdown(report: dict[str, Any]) -> str:
    """The table with its signatures."""
    metrics = list(report["signatures"])
    header = ["model", "parameters", "seeds", *metrics]
    header += [f"{metric} against {report['baseline']} (p)" for metric in metrics]
    header += ["best validation loss", "updates", "training time"]
    rows = []
    for row in report["rows"]:
        cells = [row["name"], f"{row['parameters']:,}", listed(row["seeds"])]
        cells += [spread((row["scores"][metric]["mean"], row["scores"][metric]["deviation"])) for metric in metrics]
        for metric in metrics:
            tests = row["scores"][metric]["against_baseline"]
            cells.append("; ".join(f"{test['difference']:+.2f} ({test['p_value']:.3f})" for test in tests) or "-")
        losses = [min(loss for _, loss in run["validation"]) for run in row["runs"] if run["validation"]]
        cells.append(spread(mean_deviation(losses), digits=3) if losses else "-")
        cells.append(listed(sorted({run["updates"] for run in row["runs"]})))
        cells.append(minutes(mean_deviation([run["seconds"] for run in row["runs"]])[0]))
        rows.append(cells)
    notes = [f"{report['sentences']} sentences; ± is the sample standard deviation over the seeds."]
    notes += [f"{metric}: `{signature}`" for metric, signature in report["signatures"].items()]
    if report["test_signatures"]:
        notes.append(
            f"Differences are paired by seed, in the order of the seeds; p by paired bootstrap: "
            f"`{report['test_signatures'][metrics[0]]}`"
        )
    return markdown_table(header, rows, notes)


def as_csv(report: dict[str, Any]) -> str:
    """One line a run."""
    metrics = list(report["signatures"])
    header = ["model", "arch", "parameters", "seed", *metrics, "updates", "seconds", "folder"]
    lines: list[Sequence[Any]] = []
    for row in report["rows"]:
        for run in row["runs"]:
            scores = [f"{run['scores'][metric]:.4f}" for metric in metrics]
            start = [row["name"], row["arch"], row["parameters"], run["seed"]]
            lines.append([*start, *scores, run["updates"], run["seconds"], run["folder"]])
    return csv_table(header, lines)
