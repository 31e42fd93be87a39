"""What is translated where no trained model is given: sentences of random words, and a checkpoint of each variant."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import torch
from fairseq.data import indexed_dataset
from omegaconf import OmegaConf

from .copying import make_copying
from .sizes import Size, training_options
from .trainer import build_task


def write_workload(folder: str, size: Size, variants: Iterable[str], sentences: int) -> dict[str, str]:
    """Write a binarised test set and the checkpoints of copying models (:mod:`.copying`) of the same seed.

    Args:
        folder: becomes the data folder of ``fairseq-generate``.
        size: of a translation model.
        variants: ``stock``, or names of the grid.
        sentences: of the test set.

    Returns:
        variant -> path of its checkpoint.
    """
    checkpoints = {}
    for variant in variants:
        cfg, task = build_task([*training_options(size, variant), "--cpu"], size.vocabulary, folder)
        torch.manual_seed(cfg.common.seed)
        model = task.build_model(cfg.model)
        make_copying(model)
        checkpoints[variant] = str(Path(folder, f"{variant}.pt"))
        state = {
            "args": None,
            "cfg": OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),
            "model": model.state_dict(),
            "optimizer_history": [{"optimizer_name": "none", "lr_scheduler_state": {}, "num_updates": 0}],
            "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
        }
        torch.save(state, checkpoints[variant])
    write_sentences(folder, size, sentences)
    return checkpoints


def write_sentences(folder: str, size: Size, number: int, split: str = "test") -> None:
    """``test.de-en`` in the folder: as many words as real sentences have (about log-normal), the same on both sides."""
    rng = random.Random(1)
    lengths = [min(100, max(2, round(rng.lognormvariate(0, 0.5) * size.length))) for _ in range(number)]
    rows = [torch.tensor([*(rng.randrange(4, size.vocabulary) for _ in range(length)), 2]) for length in lengths]
    for side in ("de", "en"):
        prefix = str(Path(folder, f"{split}.de-en.{side}"))
        builder = indexed_dataset.make_builder(f"{prefix}.bin", "mmap", size.vocabulary)
        for row in rows:
            builder.add_item(row.int())
        builder.finalize(f"{prefix}.idx")
