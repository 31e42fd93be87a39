"""A fine-tuned model on the development sets of its task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq import checkpoint_utils, utils

import fairseq_plugins.models  # noqa: F401  first: its repairs and registration
from fairseq_plugins.errors import UserError
from fairseq_plugins.left_out import LeftOut
from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import write_whole

from .metrics import Label, score
from .tasks import STS_B_RANGE, Task, find_task


class Predictions(NamedTuple):
    """The answers for one set, in the order of its file: labels, or scores in the range of the published ones."""

    predictions: list[Label]
    targets: list[Label]


class FineTuned:
    """A checkpoint of fairseq's ``sentence_prediction`` task on a task of GLUE.

    Args:
        checkpoint: the file.
        data: the task's folder of ``scripts/prepare_glue.sh``.
        cuda: run on the GPU.

    Raises:
        UserError: the checkpoint is of another task of fairseq, or of data with another dictionary, or damaged.
    """

    def __init__(self, checkpoint: PathLike, data: PathLike, cuda: bool = False) -> None:
        self.checkpoint, self.data = checkpoint, data
        self.record = json.loads((Path(data) / "task.json").read_text(encoding="utf-8"))
        self.task: Task = find_task(self.record["task"])
        changed = {"data": str(data)}
        try:
            state = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), changed)
            settings = state["cfg"].task
            if settings._name != "sentence_prediction":
                raise UserError(f"{checkpoint}: not of the task sentence_prediction; fine-tune it first")
            models, _, self.fairseq_task = checkpoint_utils.load_model_ensemble_and_task(
                [str(checkpoint)], arg_overrides=changed, state=state
            )
        except RuntimeError as error:  # sizes that differ, or a damaged file
            reason = str(error).splitlines()[-1].strip()
            raise UserError(
                f"{checkpoint}: cannot be loaded for {data} ({reason}); give --data what it was fine-tuned on, or "
                "train it again"
            ) from error
        self.head = settings.classification_head_name
        self.model = models[0].eval()
        self.cuda = cuda
        if cuda:
            self.model.cuda()

    @torch.no_grad()
    def predict(self, name: str, batch: int = 64) -> Predictions:
        """Answers for the set that fairseq calls ``name``: ``valid``, ``valid1``.

        Raises:
            UserError: a row is longer than the model takes, or the model's outputs are not finite.
        """
        dataset = self.fairseq_task.load_dataset(name)
        left_out = LeftOut(
            "rows", limit=utils.resolve_max_positions(self.fairseq_task.max_positions(), self.model.max_positions())
        )
        batches = self.fairseq_task.get_batch_iterator(
            dataset, max_sentences=batch, max_positions=left_out.limit, ignore_invalid_inputs=True
        )
        left_out.add(batches)
        if left_out:
            raise UserError(
                f"{self.data}: {left_out.amount} of {name} are {left_out.reason}; prepare the data with a smaller "
                "--max-length"
            )
        answers: dict[int, Label] = {}
        targets: dict[int, Label] = {}
        for sample in batches.next_epoch_itr(shuffle=False):
            sample = utils.move_to_cuda(sample) if self.cuda else sample
            outputs, _ = self.model(**sample["net_input"], features_only=True, classification_head_name=self.head)
            if not outputs.isfinite().all():
                raise UserError(f"{self.checkpoint}: its outputs are no numbers; train again with a lower --lr")
            numbers = sample["id"].tolist()
            answers.update(zip(numbers, self._answers(outputs)))
            targets.update(zip(numbers, self._targets(sample["target"])))
        return Predictions([answers[number] for number in sorted(answers)], [targets[n] for n in sorted(targets)])

    def _answers(self, outputs: torch.Tensor) -> list[Label]:
        """Outputs (B, classes), or (B, 1) for regression."""
        if self.task.is_regression:
            return [STS_B_RANGE * value for value in outputs.view(-1).tolist()]
        return [self.task.classes[index] for index in outputs.argmax(dim=-1).tolist()]

    def _targets(self, targets: torch.Tensor) -> list[Label]:
        """Targets (B,) or (B, 1): numbers of classes, or scores from 0 to 1."""
        if self.task.is_regression:
            return [round(STS_B_RANGE * value, 4) for value in targets.view(-1).tolist()]
        return [self.task.classes[index] for index in targets.view(-1).tolist()]


def evaluate_run(
    folder: PathLike, data: PathLike, seed: int, checkpoint: str = "checkpoint_last.pt", cuda: bool = False
) -> dict[str, Any]:
    """Predict every development set with a run's checkpoint, and score.

    Writes ``predictions.json`` and then ``evaluation.json``, which marks the run as finished; returns the content of
    the latter: for each development set its rows, metrics and score, from 0 to 1.

    Raises:
        UserError: as :class:`FineTuned`, :meth:`FineTuned.predict` and :func:`.metrics.score`.
    """
    folder = Path(folder)
    tuned = FineTuned(folder / checkpoint, data, cuda)
    sets: dict[str, Any] = {}
    predictions: dict[str, Any] = {}
    for subset, name in tuned.task.dev_names.items():
        found = tuned.predict(subset)
        scores = score(tuned.task, found.predictions, found.targets)
        predictions[name] = found._asdict()
        sets[name] = {"subset": subset, "rows": len(found.targets), **scores._asdict()}
    evaluation = {
        "task": tuned.task.name,
        "seed": seed,
        "data": str(data),
        "max_length": tuned.record["max_length"],
        "sets": sets,
    }
    for file, content in (("predictions.json", predictions), ("evaluation.json", evaluation)):
        write_whole(folder / file, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
    return evaluation
