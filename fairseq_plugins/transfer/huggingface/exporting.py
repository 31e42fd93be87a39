"""From a fairseq checkpoint to a folder for ``transformers``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Dict, List, Optional

import torch

from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, PathLike, Weights, building
from fairseq_plugins.checkpoints.checkpoint import UNUSED
from fairseq_plugins.checkpoints.probe import LOGITS, Expected, of_head, outputs, probe_of, steps_of
from fairseq_plugins.models.grid import is_ours
from fairseq_plugins.transfer.fold import fold
from fairseq_plugins.transfer.obstacles import rounded

from .config import check_options, to_config
from .files import CONFIG, whole_folder, write_json, write_weights
from .names import EMBEDDINGS, POSITIONS, TOKEN_TYPES, correspondence
from .running import CLASSIFIER, MASKED_LM, load, roberta_outputs
from .tokenizer import read_dictionary, write_tokenizer


def export_huggingface(
    source: PathLike,
    target: PathLike,
    head: Optional[str] = None,
    masked_lm: bool = False,
    dictionary: Optional[PathLike] = None,
    bpe_dir: Optional[PathLike] = None,
) -> List[str]:
    """Write a RoBERTa as ``RobertaForMaskedLM`` or ``RobertaForSequenceClassification``.

    Args:
        source: a checkpoint of stock RoBERTa or of ``roberta_{baseline,symmetric,pairwise,matched}``; what needs it is
            folded.
        target: the folder to write; it appears complete or not at all.
        head: which classification head, if there are several.
        masked_lm: write the masked language model although there is a classification head.
        dictionary: the ``dict.txt`` of the training; by default the one beside the source.
        bpe_dir: the folder of ``encoder.json`` and ``vocab.bpe``; without it no tokenizer is written.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the source cannot be read, Hugging Face's RoBERTa has no model with its outputs, or
            ``transformers``, which computes some to compare them, is missing.
    """
    checkpoint = Checkpoint.read(source)
    checkpoint.refuse(rounded(checkpoint))
    unfolded = checkpoint.model_part()
    notes = _fold(checkpoint)
    model = building.load(checkpoint)
    if building.family(type(model)) != "roberta":
        raise CheckpointError(f"{source} is a {checkpoint.architecture}: only RoBERTa models can be exported")
    weights = {name: tensor.to(checkpoint.dtype) for name, tensor in model.state_dict().items()}
    head = "" if masked_lm else _choose_head(list(model.classification_heads), head, str(source))
    check_options(model.args, str(source))
    layers = len(model.encoder.sentence_encoder.layers)
    exported = to_huggingface(weights, layers, head, str(source))
    words, positions = exported[EMBEDDINGS].size(0), exported[POSITIONS].size(0)
    classes = exported["classifier.out_proj.weight"].size(0) if head else 0
    tied, dtype = "lm_head.decoder.weight" not in exported, str(checkpoint.dtype).replace("torch.", "")
    config = to_config(model.args, words, positions, classes, tied, dtype)

    found = dictionary or Path(source).with_name("dict.txt")
    symbols = read_dictionary(found, words) if dictionary or (bpe_dir and Path(found).is_file()) else None
    if bpe_dir and symbols is None:
        raise CheckpointError(f"no {found}: give the dictionary of the training with --dict")
    with whole_folder(target) as folder:
        write_weights(exported, folder)
        write_json(config, folder / CONFIG)
        if symbols is not None:
            shutil.copyfile(found, folder / "dict.txt")
        if bpe_dir is not None and symbols is not None:
            write_tokenizer(folder, bpe_dir, symbols, positions - 2)
            notes.append("wrote the tokenizer")
        else:
            notes.append("wrote no tokenizer: give --bpe-dir for one")
        del model, weights
        _check(unfolded, folder, head, exported)
    return [*notes, f"{config['architectures'][0]} of {layers} layers" + (f", head {head}" if head else "")]


def _check(checkpoint: Checkpoint, folder: Path, head: str, exported: Weights) -> None:
    """Check that transformers computes from a folder what fairseq computes from a checkpoint."""
    original, source = building.load(checkpoint), checkpoint.name
    probe = probe_of(original)
    expected = Expected.of(original, lambda model: outputs(model, probe, source), steps_of(exported))
    del original
    result = f"the {CLASSIFIER if head else MASKED_LM} of transformers"
    model = load(folder, CLASSIFIER if head else MASKED_LM, f"{source}: {result}")
    logits = roberta_outputs(model, probe.inputs["src_tokens"], probe.text, f"{source}: {result}")
    expected.check({of_head(head) if head else LOGITS: logits}, source, result)


def to_huggingface(weights: Weights, layers: int, head: str, source: str) -> Weights:
    """fairseq's weights by Hugging Face's names; a tied output matrix is left out, as there, and its bias stands once.

    Raises:
        CheckpointError: the classification head has a hidden layer of another width than the model, or Hugging Face's
            RoBERTa has no place for a parameter.
    """
    embeddings = weights["encoder.sentence_encoder.embed_tokens.weight"]
    names = correspondence(layers, head)
    _check_names(list(weights), names, source)
    exported = {theirs: weights[ours] for ours, theirs in names.items()}
    exported[TOKEN_TYPES] = torch.zeros(1, embeddings.size(1), dtype=embeddings.dtype)
    if head and exported["classifier.dense.weight"].size(0) != embeddings.size(1):
        raise CheckpointError(
            f"{source}: the head {head} has a hidden layer of {exported['classifier.dense.weight'].size(0)} units; "
            f"Hugging Face's has the model's width, {embeddings.size(1)}"
        )
    output = exported.get("lm_head.decoder.weight")
    if output is not None and torch.equal(output, embeddings):
        del exported["lm_head.decoder.weight"]
    elif output is not None:
        exported["lm_head.decoder.bias"] = exported["lm_head.bias"].clone()
    return exported


def _check_names(present: List[str], names: Dict[str, str], source: str) -> None:
    """Check that every parameter has its place, but for the heads that are not exported."""
    left_out = ("encoder.lm_head.", "classification_heads.")
    extra = [n for n in present if n not in names and not n.startswith(left_out) and not n.endswith(UNUSED)]
    if extra:
        raise CheckpointError(f"{source}: Hugging Face's RoBERTa has no place for the parameter {extra[0]}")


def _fold(checkpoint: Checkpoint) -> List[str]:
    """Fold a model of this plugin; a stock one is ready."""
    if not is_ours(checkpoint.architecture):
        return []
    return [note for note in fold(checkpoint) if "optimizer" not in note]


def _choose_head(heads: List[str], wanted: Optional[str], source: str) -> str:
    if wanted is not None and wanted not in heads:
        raise CheckpointError(f"{source}: no classification head {wanted}; it has {', '.join(heads) or 'none'}")
    if wanted is None and len(heads) > 1:
        raise CheckpointError(f"{source}: several classification heads, {', '.join(heads)}: choose one with --head")
    return wanted or (heads[0] if heads else "")
