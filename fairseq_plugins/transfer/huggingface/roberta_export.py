"""From a RoBERTa checkpoint of fairseq to a folder for ``transformers``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fairseq_plugins.checkpoints import Checkpoint, Weights, building
from fairseq_plugins.checkpoints.checkpoint import UNUSED
from fairseq_plugins.checkpoints.probe import LOGITS, Outputs, Probe, Steps, of_head, outputs, steps_of
from fairseq_plugins.models.grid import is_ours
from fairseq_plugins.transfer.fold import fold, fold_obstacles, fold_weights

from .files import CONFIG, write_json, write_weights
from .roberta_config import to_config, wrong_options
from .roberta_names import EMBEDDINGS, POSITIONS, TOKEN_TYPES, correspondence
from .running import CLASSIFIER, MASKED_LM, load, roberta_outputs
from .tokenizer import Tokenizing


@dataclass
class RobertaExporter:
    """``RobertaForMaskedLM`` or ``RobertaForSequenceClassification``; what needs it is folded.

    See :class:`~fairseq_plugins.transfer.exporter.Exporter`.

    Args:
        checkpoint: of stock RoBERTa or of this package.
        head: the classification head to export; empty for the masked language model.
        words: the tokenizer to write, if any.
    """

    checkpoint: Checkpoint
    head: str
    words: Tokenizing
    #: what was written: set by :meth:`write`
    exported: Weights = field(init=False)

    @property
    def result(self) -> str:
        return f"the {self.kind} of transformers"

    @property
    def kind(self) -> str:
        """The class of ``transformers``."""
        return CLASSIFIER if self.head else MASKED_LM

    @property
    def steps(self) -> Steps:
        return steps_of(self.exported)

    def obstacles(self, model: Any) -> list[str]:
        if building.family_of_class(type(model)) != "roberta":
            return [f"it is a {self.checkpoint.architecture}: only RoBERTa models can be exported"]
        ours = is_ours(self.checkpoint.architecture)
        found = fold_obstacles(self.checkpoint) if ours else []
        # a pruned model's folded form has the width that is left
        found += wrong_options(model.args, besides=["ffn_blocks_to_remove"] if ours else [])
        weights = model.state_dict()
        if not found:
            fold_weights(weights)
            found += without_place(weights, len(model.encoder.sentence_encoder.layers), self.head)
        return found

    def write(self, folder: Path) -> list[str]:
        checkpoint = self.checkpoint.model_part()
        notes = _fold(checkpoint)
        model = building.load(checkpoint)
        weights = {name: tensor.to(checkpoint.dtype) for name, tensor in model.state_dict().items()}
        layers = len(model.encoder.sentence_encoder.layers)
        self.exported = exported = to_huggingface(weights, layers, self.head)
        words, positions = exported[EMBEDDINGS].size(0), exported[POSITIONS].size(0)
        classes = exported["classifier.out_proj.weight"].size(0) if self.head else 0
        tied, dtype = "lm_head.decoder.weight" not in exported, str(checkpoint.dtype).replace("torch.", "")
        config = to_config(model.args, words, positions, classes, tied, dtype)

        write_weights(exported, folder)
        write_json(config, folder / CONFIG)
        notes += self.words.write(folder, words, positions - 2)
        head = f", head {self.head}" if self.head else ""
        return [*notes, f"{config['architectures'][0]} of {layers} layers{head}"]

    def original(self, model: Any, probe: Probe) -> Outputs:
        return outputs(model, probe, self.checkpoint.name)

    def run(self, folder: Path, probe: Probe) -> Outputs:
        name = f"{self.checkpoint.name}: {self.result}"
        logits = roberta_outputs(load(folder, self.kind, name), probe.inputs["src_tokens"], probe.text, name)
        return {of_head(self.head) if self.head else LOGITS: logits}


def to_huggingface(weights: Weights, layers: int, head: str) -> Weights:
    """fairseq's weights by Hugging Face's names; a tied output matrix is left out, as there; its bias stands once."""
    embeddings = weights["encoder.sentence_encoder.embed_tokens.weight"]
    exported = {theirs: weights[ours] for ours, theirs in correspondence(layers, head).items()}
    exported[TOKEN_TYPES] = torch.zeros(1, embeddings.size(1), dtype=embeddings.dtype)
    output = exported.get("lm_head.decoder.weight")
    if output is not None and torch.equal(output, embeddings):
        del exported["lm_head.decoder.weight"]
    elif output is not None:
        exported["lm_head.decoder.bias"] = exported["lm_head.bias"].clone()
    return exported


def without_place(weights: Weights, layers: int, head: str) -> list[str]:
    """What Hugging Face's RoBERTa has no place for: parameters, but for the heads that are not exported, and widths."""
    names = correspondence(layers, head)
    left_out = ("encoder.lm_head.", "classification_heads.")
    extra = [n for n in weights if n not in names and not n.startswith(left_out) and not n.endswith(UNUSED)]
    found = [f"Hugging Face's RoBERTa has no place for the parameter {', '.join(extra)}"] if extra else []
    width = weights["encoder.sentence_encoder.embed_tokens.weight"].size(1)
    hidden = weights[f"classification_heads.{head}.dense.weight"].size(0) if head else width
    if hidden != width:
        found.append(
            f"the head {head} has a hidden layer of {hidden} units; Hugging Face's has the model's width, {width}"
        )
    return found


def _fold(checkpoint: Checkpoint) -> list[str]:
    """Fold a model of this plugin; a stock one is ready."""
    if not is_ours(checkpoint.architecture):
        return []
    return [note for note in fold(checkpoint) if "optimizer" not in note]
