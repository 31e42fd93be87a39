"""Toy tasks, prepared, and a toy model pretrained on the sentences of one of them."""

from types import SimpleNamespace

import pytest
from glue_files import write_mnli
from running import forked

from fairseq_plugins.glue.binarise import prepare_task
from fairseq_plugins.glue.tasks import TASKS
from fairseq_plugins.glue.toy import write_toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """``glue``, ``bpe`` and ``dict`` as published; ``data``, the tasks CoLA, STS-B and MNLI prepared from them; and
    ``checkpoint``, a pairwise model after two updates."""
    folder = tmp_path_factory.mktemp("toy glue")
    write_toy(folder)
    write_mnli(folder / "glue")
    made = SimpleNamespace(glue=folder / "glue", bpe=folder / "bpe", dict=folder / "bpe" / "dict.txt")
    made.data = folder / "data"
    made.data.mkdir()
    for name in ("CoLA", "STS-B", "MNLI"):
        prepare_task(TASKS[name], made.glue / name, made.data / f"{name}-bin", made.bpe, made.dict)
    forked(
        *("train", made.data / "CoLA-bin" / "input0", "--task", "masked_lm", "--criterion", "masked_lm"),
        *("--arch", "roberta_pairwise_tiny", "--encoder-layers", 1, "--encoder-embed-dim", 16, "--cpu"),
        *("--encoder-ffn-embed-dim", 24, "--activation-fn", "relu", "--attention-dropout", 0),
        *("--sample-break-mode", "complete", "--tokens-per-sample", 60, "--batch-size", 8, "--max-update", 2),
        *("--optimizer", "adam", "--lr", 0.001, "--save-dir", folder / "pretrained", "--no-epoch-checkpoints"),
    )
    made.checkpoint = folder / "pretrained" / "checkpoint_last.pt"
    return made
