"""The batches that a training takes: counted, measured and compared without training."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from typing import Any

import torch

#: batches of the first epoch on which operations and seconds are measured, spread evenly over it
SAMPLE = 4


class Batches:
    """A training's task with its training data, as fairseq's trainer would take them on one device.

    Args:
        args: of fairseq-train, with the architecture's defaults.
    """

    def __init__(self, args: Namespace) -> None:
        from fairseq import tasks
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf

        self.cfg = convert_namespace_to_omegaconf(args)
        self.task = tasks.setup_task(self.cfg.task)
        self.task.load_dataset(self.cfg.dataset.train_subset)

    def model(self) -> Any:
        """The model as it starts, drawn with the training's seed."""
        torch.manual_seed(self.cfg.common.seed)
        return self.task.build_model(self.cfg.model)

    def iterator(self, model: Any) -> Any:
        """fairseq's iterator over the epochs, with the arguments of its trainer."""
        from fairseq import utils

        dataset = self.cfg.dataset
        return self.task.get_batch_iterator(
            dataset=self.task.dataset(dataset.train_subset),
            max_tokens=dataset.max_tokens,
            max_sentences=dataset.batch_size,
            max_positions=utils.resolve_max_positions(
                self.task.max_positions(), model.max_positions(), dataset.max_tokens
            ),
            ignore_invalid_inputs=True,
            required_batch_size_multiple=dataset.required_batch_size_multiple,
            seed=self.cfg.common.seed,
            data_buffer_size=0,
        )

    def some(self, model: Any) -> list[dict[str, Any]]:
        """:data:`SAMPLE` batches of the first epoch, as a training gets them."""
        epochs = self.iterator(model)
        order = epochs.ordered_batches(1, False, True)
        count = min(SAMPLE, len(order))
        chosen = [order[index * len(order) // count] for index in range(count)]
        return [epochs.collate_fn([epochs.dataset[number] for number in batch]) for batch in chosen]

    def fingerprint(self, model: Any, updates: int) -> str:
        """SHA-256 of which sentences each batch of some updates has, in order, and of the first batch's tokens."""
        epochs = self.iterator(model)
        each = int(self.cfg.optimization.update_freq[0])
        wanted = updates * each
        digest = hashlib.sha256()
        epoch = 0
        while wanted > 0:
            epoch += 1
            order = epochs.ordered_batches(epoch, False, True)
            taken = [[int(number) for number in batch] for batch in order][:wanted]
            # an epoch's last update may take fewer batches
            wanted -= -(-len(taken) // each) * each
            digest.update(json.dumps(taken).encode())
        first = self.some(model)[0]
        for tensor in (first["net_input"]["src_tokens"], first["target"]):
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()
