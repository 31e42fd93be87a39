"""Score fine-tuned models on the development sets of their GLUE task.

RUN is the folder of a finished training with fairseq's sentence_prediction task by scripts/train.sh, which recorded its
data and seed in run.json. Writes predictions.json and evaluation.json into it. Needs scikit-learn and scipy
(pip install 'fairseq_plugins[glue]').

    fairseq-plugins glue-evaluate runs/glue/roberta_pairwise/MRPC-seed1
    fairseq-plugins glue-evaluate runs/glue/roberta_pairwise/MRPC-seed* --cpu
"""

from __future__ import annotations

import logging
import warnings
from argparse import ArgumentParser, Namespace
from pathlib import Path

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.runs import read_json


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--data", metavar="DIR", help="the task's prepared data, if it is no longer where run.json says"
    )
    parser.add_argument(
        "--checkpoint", default="checkpoint_last.pt", metavar="FILE", help="file in RUN (default: checkpoint_last.pt)"
    )
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")


def run(args: Namespace) -> int:
    import torch

    from fairseq_plugins.glue.evaluate import evaluate_run

    logging.getLogger("fairseq").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="'pin_memory' argument")  # fairseq asks for it on a CPU too
    cuda = torch.cuda.is_available() and not args.cpu
    for folder in map(Path, args.runs):
        record = _record(folder, args.checkpoint)
        data = Path(args.data or record["data"])
        if not (data / "task.json").is_file():
            raise UserError(f"no file {data}/task.json; give --data the folder that scripts/prepare_glue.sh wrote")
        evaluation = evaluate_run(folder, data, int(record["seed"]), args.checkpoint, cuda)
        for name, found in evaluation["sets"].items():
            metrics = ", ".join(f"{metric} {100 * value:.2f}" for metric, value in found["metrics"].items())
            notes = "".join(f"; {note}" for note in found["notes"])
            print(f"{folder}: {name}: {metrics} ({found['rows']:,} rows){notes}")
    return 0


def _record(folder: Path, checkpoint: str) -> dict:
    record = read_json(folder / "run.json", "train with scripts/train.sh")
    if not (folder / checkpoint).is_file():
        raise UserError(f"no file {folder / checkpoint}: the training is not finished")
    return record
