"""From a checkpoint to a folder for ``transformers``: a model of its own where it has one, or a staged model."""

from __future__ import annotations

from typing import Any

from fairseq_plugins.checkpoints import Checkpoint, building
from fairseq_plugins.lines import PathLike
from fairseq_plugins.transfer.exporter import Exporter, refuse_obstacles, write_checked
from fairseq_plugins.transfer.whole_folder import whole_folder

from .card import write_card
from .plain_export import PlainExporter
from .record_tokenizer import RecordTokenizing
from .roberta_export import RobertaExporter
from .staged_export import StagedExporter
from .tokenizer import Tokenizing


def export_huggingface(
    source: PathLike,
    target: PathLike,
    head: str | None = None,
    masked_lm: bool = False,
    dictionary: PathLike | None = None,
    bpe_dir: PathLike | None = None,
    staged: bool = False,
    text: str | None = None,
) -> list[str]:
    """Write a model of ``transformers`` that computes what a checkpoint computes.

    Stock models, and those that can be folded, become what ``transformers`` has for them: a RoBERTa, FSMT or XGLM.
    Whatever that cannot be becomes a staged model, whose code stands in the folder.

    Args:
        source: a checkpoint of any of the three families, stock or of this package.
        target: the folder to write; it appears complete or not at all.
        head: of a RoBERTa, which classification head, if there are several.
        masked_lm: write the masked language model although there is a classification head.
        dictionary: of a RoBERTa, the ``dict.txt`` of the training; by default the one beside the source.
        bpe_dir: of a RoBERTa, the folder of ``encoder.json`` and ``vocab.bpe``; without it no tokenizer is written.
        staged: write a staged model in any case.
        text: of a translation or causal language model, the folder of ``text.json``, for the tokenizer; by default the
            one beside the source, or its data.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the source cannot be read, neither is a model with its outputs, or ``transformers``, which
            computes some to compare them, is missing.
    """
    checkpoint = Checkpoint.read(source)
    words = Tokenizing(source, dictionary, bpe_dir), RecordTokenizing(checkpoint, text)
    exporter, notes = _exporter(checkpoint, head, masked_lm, *words, staged)
    refuse_obstacles(exporter)
    with whole_folder(target) as folder:
        notes += write_checked(exporter, folder)
        write_card(folder, checkpoint)
    return notes


def _exporter(
    checkpoint: Checkpoint,
    wanted: str | None,
    masked_lm: bool,
    words: Tokenizing,
    text: RecordTokenizing,
    staged: bool,
) -> tuple[Exporter, list[str]]:
    """What exports a checkpoint, and why ``transformers`` has no class for it if it has none."""
    model = building.load(checkpoint)
    head = chosen_head(checkpoint, model, wanted, masked_lm)
    family = building.family_of_class(type(model))
    if staged or not family:
        return StagedExporter(checkpoint, head, words, text), []
    roberta = family == "roberta"
    plain = RobertaExporter(checkpoint, head, words) if roberta else PlainExporter(checkpoint, text)
    reasons = plain.obstacles(model)
    if not reasons:
        return plain, []
    notes = [f"not {plain.result}: {reason}" for reason in reasons]
    return StagedExporter(checkpoint, head, words, text), notes


def chosen_head(checkpoint: Checkpoint, model: Any, wanted: str | None, masked_lm: bool) -> str:
    """The name of the classification head that is exported; empty for none.

    Raises:
        CheckpointError: the wanted one is not there, or there are several and none is wanted.
    """
    heads = list(getattr(model, "classification_heads", []))
    checkpoint.refuse([] if masked_lm else _wrong_head(heads, wanted))
    return "" if masked_lm else wanted or (heads[0] if heads else "")


def _wrong_head(heads: list[str], wanted: str | None) -> list[str]:
    if wanted is not None and wanted not in heads:
        return [f"no classification head {wanted}; it has {', '.join(heads) or 'none'}"]
    if wanted is None and len(heads) > 1:
        return [f"several classification heads, {', '.join(heads)}: choose one with --head"]
    return []
