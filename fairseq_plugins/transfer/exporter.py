"""What an exporter to another runtime offers, and the way that every export goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from fairseq_plugins.checkpoints import Checkpoint, building
from fairseq_plugins.checkpoints.probe import Expected, Outputs, Probe, Steps, probe_of

from .obstacles import rounded


class Exporter(Protocol):
    """One model in the form of another runtime."""

    checkpoint: Checkpoint

    @property
    def result(self) -> str:
        """What the runtime's model is called in messages."""

    @property
    def steps(self) -> Steps:
        """How far apart the numbers are that it stores, once it is written."""

    def obstacles(self, model: Any) -> list[str]:
        """Every reason why the runtime has no model that computes what fairseq's does, a sentence each."""

    def write(self, folder: Path) -> list[str]:
        """Write the runtime's files into a folder; returns sentences about what was done."""

    def original(self, model: Any, probe: Probe) -> Outputs:
        """What fairseq's model computes of what the runtime computes, too."""

    def run(self, folder: Path, probe: Probe) -> Outputs:
        """What the runtime computes from the folder, by the same names."""


def refuse_obstacles(exporter: Exporter) -> None:
    """Stop with all that stands in the way of an export.

    Raises:
        CheckpointError: something does; or fairseq cannot load the model.
    """
    checkpoint = exporter.checkpoint
    checkpoint.refuse([*rounded(checkpoint), *exporter.obstacles(building.load(checkpoint))])


def write_checked(exporter: Exporter, folder: Path) -> list[str]:
    """Write the files, and check that the runtime computes from them what fairseq computes from the checkpoint.

    Raises:
        CheckpointError: it computes something else.
    """
    notes = exporter.write(folder)
    original = building.load(exporter.checkpoint)
    probe = probe_of(original)
    expected = Expected.of(original, lambda model: exporter.original(model, probe), exporter.steps)
    del original  # room for two models is wherever one was trained, but not for three
    expected.check(exporter.run(folder, probe), exporter.checkpoint.name, exporter.result)
    return notes
