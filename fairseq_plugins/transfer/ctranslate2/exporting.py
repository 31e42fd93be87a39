"""From a fairseq checkpoint to a folder for ``ctranslate2.Translator``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fairseq.models.transformer import TransformerModel
from torch import Tensor

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.config import DEFAULTS
from fairseq_plugins.attention.stages import KERNEL, MIXING
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, building
from fairseq_plugins.checkpoints.probe import Outputs, Probe, Steps, float_steps
from fairseq_plugins.dictionary import load_dictionary
from fairseq_plugins.lines import PathLike
from fairseq_plugins.models.transformer import StagedTransformerModel
from fairseq_plugins.runtime import processor
from fairseq_plugins.transfer.attention_names import attention_names
from fairseq_plugins.transfer.exporter import refuse_obstacles, write_checked
from fairseq_plugins.transfer.fold import fold_weights
from fairseq_plugins.transfer.obstacles import with_networks
from fairseq_plugins.transfer.whole_folder import whole_folder

from .scores import ctranslate2_scores, fairseq_scores
from .spec import ctranslate2_package, transformer_spec, without_place


def int8_steps(parameter: Tensor) -> Tensor:
    """A matrix is stored row by row, 127 steps to its largest number; vectors stay float32."""
    if parameter.dim() < 2:
        return float_steps(torch.float32)(parameter)
    return parameter.abs().amax(-1, keepdim=True) / 127


#: type of weights -> their steps
STEPS: dict[str, Steps] = {
    "float32": float_steps(torch.float32),
    "int8": int8_steps,
    "float16": float_steps(torch.float16),
    "bfloat16": float_steps(torch.bfloat16),
}
QUANTIZATIONS = tuple(STEPS)
SCORES = "log-probabilities"
SIDES = ("encoder", "decoder")
#: options of fairseq's Transformer that add or remove layers
UNKNOWN_OPTIONS = ("adaptive_softmax_cutoff", "base_layers", "cross_self_attention", "no_cross_attention")


def export_ctranslate2(
    source: PathLike,
    target: PathLike,
    dictionary: PathLike,
    target_dictionary: PathLike | None = None,
    quantization: str = "float32",
) -> list[str]:
    """Write a translation model as one of CTranslate2 with the same logits.

    Args:
        source: a checkpoint of fairseq's ``transformer`` or of this plugin's, with linear projections, the exponential
            kernel and dense mixing; what shares or lacks projections is folded.
        target: the folder to write; it appears complete or not at all.
        dictionary: the source language's ``dict.txt``.
        target_dictionary: the target language's; by default the source's.
        quantization: of the weights: one of :data:`QUANTIZATIONS`.

    Returns:
        Sentences about what was done.

    Raises:
        CorpusError: a dictionary cannot be read.
        CheckpointError: a file cannot be read, CTranslate2 has no model with these outputs or computes others from what
            was written, or its package is missing.
    """
    ctranslate2_package()
    checkpoint = Checkpoint.read(source)
    # the rounding of small weights would hide smaller faults: first without it
    exporters = [
        CTranslate2Exporter(checkpoint, (dictionary, target_dictionary or dictionary), weights)
        for weights in dict.fromkeys(("float32", quantization))
    ]
    refuse_obstacles(exporters[0])
    with whole_folder(target) as folder:
        for exporter in exporters:
            notes = write_checked(exporter, folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
    return [*notes, f"{quantization} weights, {size / 2**20:.1f} MiB"]


@dataclass
class CTranslate2Exporter:
    """See :class:`~fairseq_plugins.transfer.exporter.Exporter`.

    Attributes:
        checkpoint: the model.
        dictionaries: of the source and of the target language.
        quantization: of the weights.
    """

    checkpoint: Checkpoint
    dictionaries: Sequence[PathLike]
    quantization: str
    #: of the source and of the target language: set by :meth:`write`
    symbols: Sequence[list[str]] = field(init=False)

    @property
    def result(self) -> str:
        missing = processor.lacks("int8") if self.quantization.startswith("int8") else ""
        return f"CTranslate2's model of {self.quantization} weights{missing and f' ({missing})'}"

    @property
    def steps(self) -> Steps:
        return STEPS[self.quantization]

    def obstacles(self, model: Any) -> list[str]:
        if type(model) is not TransformerModel and not isinstance(model, StagedTransformerModel):
            return [f"it is a {self.checkpoint.architecture}: only models of the transformer family can be exported"]
        found = []
        if self.checkpoint.task not in ("translation", ""):
            found.append(f"trained for the task {self.checkpoint.task}: only translation can be exported")
        options = [name for name in UNKNOWN_OPTIONS if getattr(model.decoder.cfg, name, None)]
        if options:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in options)
            found.append(f"trained with {words}, which CTranslate2 does not have")
        weights = model.state_dict()
        found += with_networks(weights, "CTranslate2 has linear projections only")
        found += _other_attention(model)
        if found:
            return found
        fold_weights(weights, self.checkpoint.options)
        return without_place(model, weights)

    def write(self, folder: Path) -> list[str]:
        model = building.load(self.checkpoint)
        weights = model.state_dict()
        folded = fold_weights(weights, self.checkpoint.options)
        rows = [weights[f"{side}.embed_tokens.weight"].size(0) for side in SIDES]
        source, target = (
            _symbols(path, rows, side, self.checkpoint.name) for path, rows, side in zip(self.dictionaries, rows, SIDES)
        )
        spec = transformer_spec(model, weights)
        spec.register_source_vocabulary(source)
        spec.register_target_vocabulary(target)
        spec.config.add_source_eos = True
        spec.config.decoder_start_token = "<s>" if getattr(model.decoder, "starts_with_bos", False) else "</s>"
        spec.validate()
        spec.optimize(quantization=self.quantization)
        spec.save(str(folder))
        self.symbols = [source, target]
        return [f"folded {len(folded)} of {len(attention_names(weights))} attention modules"]

    def original(self, model: Any, probe: Probe) -> Outputs:
        return {SCORES: fairseq_scores(model, probe, self.checkpoint.name)}

    def run(self, folder: Path, probe: Probe) -> Outputs:
        return {SCORES: ctranslate2_scores(folder, probe, self.symbols, f"{self.checkpoint.name}: {self.result}")}


def _other_attention(model: Any) -> list[str]:
    """A sentence for each choice of a stage that is not CTranslate2's, with the first module that has it."""
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, StagedMultiheadAttention):
            for stage, choice in ((KERNEL, module.kernel), (MIXING, module.mixing)):
                chosen = next(known for known in stage.choices if stage[known] is type(choice))
                if chosen != DEFAULTS[stage.name]:
                    found.setdefault(f"--attention-{stage.name} {chosen}", name)
    return [f"{name} has {option}, which CTranslate2 does not have" for option, name in found.items()]


def _symbols(path: PathLike, rows: int, side: str, source: str) -> list[str]:
    """A dictionary's symbols in the order of the embeddings' rows."""
    symbols = list(load_dictionary(path).symbols)
    if len(symbols) != rows:
        raise CheckpointError(
            f"{path} makes a vocabulary of {len(symbols)} symbols, but the {side} of {source} has {rows}: give the "
            "dictionaries of the training, the source language's with --dict and the other with --target-dict"
        )
    return symbols
