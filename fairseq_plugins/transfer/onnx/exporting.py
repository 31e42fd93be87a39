"""From any checkpoint of the three families to graphs of ONNX, and what onnxruntime computes with them."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, building
from fairseq_plugins.checkpoints.probe import LOGITS, Outputs, Probe, Steps, of_head, outputs
from fairseq_plugins.lines import PathLike
from fairseq_plugins.transfer.exporter import refuse_obstacles, write_checked
from fairseq_plugins.transfer.huggingface.export import chosen_head
from fairseq_plugins.transfer.huggingface.files import write_json
from fairseq_plugins.transfer.huggingface.record_tokenizer import RecordTokenizing
from fairseq_plugins.transfer.huggingface.staged_export import StagedExporter
from fairseq_plugins.transfer.huggingface.tokenizer import Tokenizing
from fairseq_plugins.transfer.whole_folder import whole_folder

from .runtime import INSTALL, Runtime

#: what the folder says of its graphs
DESCRIPTION = "graphs.json"
#: the logits of a causal language model, step by step
STEPS = "logits of steps"


@dataclass
class OnnxExporter:
    """See :class:`~fairseq_plugins.transfer.exporter.Exporter`.

    Args:
        checkpoint: of any of the families, stock or of this package.
        staged: makes the staged model, and writes the tokenizer.
    """

    checkpoint: Checkpoint
    staged: StagedExporter
    described: dict[str, Any] = field(init=False)

    result = "the graphs of ONNX"

    @property
    def steps(self) -> Steps:
        return self.staged.steps

    def obstacles(self, model: Any) -> list[str]:
        found = self.staged.obstacles(model)
        searching = [m for m in model.modules() if isinstance(m, StagedMultiheadAttention) and m.mixing.searches]
        if searching:
            found.append("its mixing looks for the keys of a query one by one, which no graph holds; mix by top-r")
        return found

    def write(self, folder: Path) -> list[str]:
        from fairseq_plugins.huggingface.graphs import graphs_of

        # onnxruntime has no products of half precision on CPUs
        model = self.staged.build(building.load(self.checkpoint.model_part())).float().eval()
        self.staged.exported = model.state_dict()
        self.described = {"symbols": _symbols(model), "graphs": {}}
        for name, graph in graphs_of(model).items():
            with _quiet():
                program = torch.onnx.export(
                    graph.export(), (), input_names=list(graph.inputs), output_names=graph.outputs, dynamo=True
                )
                assert program is not None
                program.save(folder / f"{name}.onnx")
            inputs = {
                key: [graph.varying[key].get(at, size) for at, size in enumerate(tensor.shape)]
                for key, tensor in graph.inputs.items()
            }
            self.described["graphs"][name] = {"inputs": inputs, "outputs": graph.outputs}
        write_json(self.described, folder / DESCRIPTION)
        names = ", ".join(f"{name}.onnx" for name in self.described["graphs"])
        return [*self.staged.write_tokenizer(folder, model.config), f"{names}; {DESCRIPTION} tells what they take"]

    def original(self, model: Any, probe: Probe) -> Outputs:
        found = outputs(model, probe, self.checkpoint.name)
        both = {"model", "step"} <= self.described["graphs"].keys()
        return {**found, STEPS: found[LOGITS]} if both else found

    def run(self, folder: Path, probe: Probe) -> Outputs:
        runtime, graphs = Runtime(folder), self.described["graphs"]
        pad = self.described["symbols"]["pad"]
        source = probe.inputs["src_tokens"]
        mask = source.ne(pad).long()
        if "encoder" in graphs:
            state = {"source_mask": mask, **runtime.run("encoder", input_ids=source, attention_mask=mask)}
            return {LOGITS: runtime.forced(probe.inputs["prev_output_tokens"], pad, state)[probe.text]}
        logits = runtime.run("model", input_ids=source, attention_mask=mask)["logits"]
        if self.staged.head:
            return {of_head(self.staged.head): logits}
        found = {LOGITS: logits[probe.text]}
        return {**found, STEPS: runtime.forced(source, pad, {})[probe.text]} if "step" in graphs else found


def export_onnx(
    source: PathLike,
    target: PathLike,
    head: str | None = None,
    masked_lm: bool = False,
    dictionary: PathLike | None = None,
    bpe_dir: PathLike | None = None,
    text: str | None = None,
) -> list[str]:
    """Write graphs of ONNX that compute what a checkpoint computes.

    Args:
        Others: as :func:`~fairseq_plugins.transfer.huggingface.export.export_huggingface`.
        target: the folder to write; it appears complete or not at all.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the source cannot be read, no graph computes what it does, or a package is missing.
    """
    _check_packages()
    checkpoint = Checkpoint.read(source)
    model = building.load(checkpoint)
    chosen = chosen_head(checkpoint, model, head, masked_lm)
    words = Tokenizing(source, dictionary, bpe_dir), RecordTokenizing(checkpoint, text)
    exporter = OnnxExporter(checkpoint, StagedExporter(checkpoint, chosen, *words))
    refuse_obstacles(exporter)
    with whole_folder(target) as folder:
        return write_checked(exporter, folder)


def _check_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            raise CheckpointError(f"the package {name} is missing; run: {INSTALL}") from None


def _symbols(model: Any) -> dict[str, int]:
    config = model.config
    found = {"pad": config.pad_token_id, "bos": config.bos_token_id, "eos": config.eos_token_id}
    start = getattr(config, "decoder_start_token_id", None)
    return found if start is None else {**found, "start": start}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of its own passes."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
