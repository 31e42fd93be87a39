"""Validation losses of language-model runs, as ``scripts/train.sh`` leaves them, in nats."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, List, Sequence

from fairseq_plugins.corpus import PathLike
from fairseq_plugins.results import SEED_SUFFIX, Run, mean_deviation, read_log


def load_run(folder: PathLike) -> Run:
    """Read a finished run's folder; its curve is in nats where fairseq's log has bits.

    Raises:
        ValueError: something is missing; the message names the file and the remedy.
    """
    folder = Path(folder)
    found: Dict[str, Any] = {}
    for name in ("run.json", "done"):
        try:
            found[name] = json.loads((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"no file {folder / name}: train with scripts/train.sh, to the end (--resume)") from None
        except ValueError as error:
            raise ValueError(f"{folder / name} is damaged ({error}); run the training again with --resume") from None
    parameters, curve = read_log(str(folder / "train.log"))
    if not curve:
        raise ValueError(f"{folder / 'train.log'} has no validation loss; train without --disable-validation")
    return Run(
        folder=str(folder),
        name=SEED_SUFFIX.sub("", folder.resolve().name),
        arch=found["run.json"]["arch"],
        seed=int(found["run.json"]["seed"]),
        parameters=parameters,
        updates=found["done"]["updates"],
        seconds=found["done"].get("seconds", math.nan),
        hypotheses=[],
        references=[],
        tokenizer="",
        curve=[(updates, bits * math.log(2)) for updates, bits in curve],
    )


def summary(name: str, runs: Sequence[Run], below: Sequence[float] = ()) -> Dict[str, Any]:
    """One row of the table as plain data: the runs of one model under several seeds.

    Args:
        name: of the row.
        runs: its members.
        below: losses whose first update is looked for; None for a run that never gets there.
    """
    sizes = sorted({run.parameters for run in runs})
    if len(sizes) > 1:
        raise ValueError(f"the runs of '{name}' differ in size ({', '.join(map(str, sizes))} parameters)")
    best = [min(loss for _, loss in run.curve) for run in runs]
    reached = [{bound: next((u for u, loss in run.curve if loss < bound), None) for bound in below} for run in runs]
    return {
        "name": name,
        "arch": runs[0].arch,
        "parameters": sizes[0],
        "best_loss": mean_deviation(best),
        "perplexity": mean_deviation([math.exp(loss) for loss in best]),
        "runs": [
            {
                "folder": run.folder,
                "seed": run.seed,
                "updates": run.updates,
                "seconds": run.seconds,
                "first_below": first,
                "validation": run.curve,
            }
            for run, first in zip(runs, reached)
        ],
    }


def common_updates(rows: Sequence[Dict[str, Any]], count: int) -> List[int]:
    """Up to ``count`` updates at which every run was validated, spread evenly, the last of them included."""
    curves = [dict(run["validation"]) for row in rows for run in row["runs"]]
    common = sorted(set.intersection(*map(set, curves)))
    count = min(count, len(common))
    return [common[round((index + 1) * len(common) / count) - 1] for index in range(count)]
