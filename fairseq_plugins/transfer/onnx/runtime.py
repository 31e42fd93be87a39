"""onnxruntime with the graphs of a folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fairseq_plugins.checkpoints import CheckpointError
from fairseq_plugins.lines import PathLike

INSTALL = "pip install 'fairseq_plugins[onnx]'"


class Runtime:
    """onnxruntime with the graphs of a folder, on the CPU.

    Raises:
        CheckpointError: onnxruntime is missing.
    """

    def __init__(self, folder: PathLike) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise CheckpointError(f"the package onnxruntime is missing; run: {INSTALL}") from None
        self.sessions = {
            path.stem: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            for path in sorted(Path(folder).glob("*.onnx"))
        }

    def run(self, name: str, **inputs: Tensor) -> dict[str, Tensor]:
        """The outputs of a graph by names; what it does not take is passed over."""
        session = self.sessions[name]
        taken = {one.name: inputs[one.name].numpy() for one in session.get_inputs()}
        names = [one.name for one in session.get_outputs()]
        return {key: torch.from_numpy(value) for key, value in zip(names, session.run(names, taken), strict=True)}

    def forced(self, target: Tensor, pad: int, source: dict[str, Tensor]) -> Tensor:
        """Logits (B, T, V) for what a decoder reads (B, T), a step at a time; ``source`` is what every step takes."""
        state = {**source, **self.empty(len(target))}
        found = []
        for step in range(target.size(1)):
            text = target[:, : step + 1].ne(pad).long()
            made = self.run("step", input_ids=target[:, step : step + 1], attention_mask=text, **state)
            found.append(made["logits"])
            state |= {f"past.{name.removeprefix('present.')}": made[name] for name in made if name != "logits"}
        return torch.cat(found, dim=1)

    def empty(self, rows: int) -> dict[str, Tensor]:
        """The past before the first step: no positions, or sums of 0."""
        past = [one for one in self.sessions["step"].get_inputs() if one.name.startswith("past.")]
        shapes = {one.name: [size if isinstance(size, int) else 0 for size in one.shape[1:]] for one in past}
        return {name: torch.zeros(rows, *shape) for name, shape in shapes.items()}
