"""From a RoBERTa folder for ``transformers`` to a fairseq checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, Weights, building
from fairseq_plugins.checkpoints.probe import FEATURES, LOGITS, Expected, of_head, outputs, probe_of, steps_of
from fairseq_plugins.lines import PathLike

from .files import CONFIG, is_pickle, read_json, read_weights
from .new_checkpoint import given, set_parameter, training_config, write_beside
from .roberta_config import to_arguments
from .roberta_names import EMBEDDINGS, TOKEN_TYPES, correspondence, current_names
from .running import CLASSIFIER, HEADLESS, MASKED_LM, load, roberta_outputs
from .tokenizer import SPECIAL, dictionary_text, read_dictionary, read_vocabulary, to_fairseq

#: the classification head's name, fairseq's own default
HEAD = "sentence_classification_head"
TASK = ("--task", "masked_lm", "--criterion", "masked_lm")


def import_roberta(source: PathLike, target: PathLike, to: str = "baseline", seed: int = 1) -> list[str]:
    """Write a RoBERTa of ``transformers`` as a checkpoint, with its dictionary and BPE beside.

    Hugging Face adds a token-type embedding to every position; with the only type that RoBERTa uses it is the same
    vector everywhere, so it is added to the position embeddings, which is exact. A masked LM keeps its head. A
    classifier becomes the head ``sentence_classification_head``; its masked-LM head, which ``transformers`` does not
    save, is initialised, and so is that of a model without any head.

    Args:
        source: a folder with ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.
        target: the checkpoint to write; ``dict.txt`` and, from a folder with a tokenizer, ``encoder.json`` and
            ``vocab.bpe`` are written beside it.
        to: ``baseline`` for ``roberta_baseline``, ``stock`` for fairseq's ``roberta``.
        seed: of what is initialised.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the folder cannot be read, fairseq's RoBERTa cannot be this model, or ``transformers``, which
            computes some outputs to compare them, is missing.
        CorpusError: a file cannot be written.
    """
    folder, target = Path(source), Path(target)
    config = read_json(folder / CONFIG)
    weights = current_names(read_weights(folder))
    arch = {"baseline": "roberta_baseline", "stock": "roberta"}[to]
    words = given(weights, EMBEDDINGS, folder)
    notes: list[str] = []
    cfg = training_config(TASK, arch, to_arguments(config, str(folder / CONFIG)), str(target.parent))
    files = _dictionary_files(folder, words.size(0), notes)
    options = cfg["model"]
    model = building.build(options, building.Vocabularies(words.size(0), words.size(0)), seed).to(words.dtype)
    if "classifier.out_proj.weight" in weights:
        model.register_classification_head(HEAD, num_classes=weights["classifier.out_proj.weight"].size(0))
        model.to(words.dtype)
    _load(model, weights, folder, notes)

    checkpoint = Checkpoint(str(folder), {"args": None, "cfg": cfg, "model": {}})
    checkpoint.begin_training(options, model.state_dict())
    _check(folder, weights, checkpoint, arch)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_beside(target, {name: text.encode("utf-8") for name, text in files.items()})
    checkpoint.write(target)
    return [*notes, f"architecture {arch} of {config['num_hidden_layers']} layers", f"wrote {', '.join(files)} beside"]


def _check(folder: Path, weights: Weights, checkpoint: Checkpoint, arch: str) -> None:
    """Check that fairseq computes from a checkpoint what transformers computes from a folder."""
    head, language_model = "classifier.out_proj.weight" in weights, "lm_head.dense.weight" in weights
    kind = CLASSIFIER if head else MASKED_LM if language_model else HEADLESS
    result = f"the {arch}"
    imported = building.load(checkpoint.called(f"{folder}: {result}"))
    probe = probe_of(imported)
    ours = Expected.of(
        imported, lambda model: outputs(model, probe, f"{folder}: {result}"), steps_of(checkpoint.weights)
    )
    original = load(folder, kind, f"{folder} as transformers' {kind}", weights if is_pickle(folder) else None)
    theirs = roberta_outputs(original, probe.inputs["src_tokens"], probe.text, str(folder))
    name = of_head(HEAD) if head else LOGITS if language_model else FEATURES
    ours.check({name: theirs}, str(folder), result)


def _load(model: Any, weights: Weights, folder: Path, notes: list[str]) -> None:
    """Set the model's parameters, and note what was initialised or has no place."""
    head = HEAD if "classifier.out_proj.weight" in weights else ""
    pairs = correspondence(len(model.encoder.sentence_encoder.layers), head)
    if not head and "lm_head.dense.weight" not in weights:
        pairs = {ours: theirs for ours, theirs in pairs.items() if not theirs.startswith("lm_head.")}
    if "lm_head.bias" not in pairs.values():
        notes.append("the masked-LM head is initialised: the folder has none")
    complete = {"lm_head.decoder.weight": weights[EMBEDDINGS], **weights}  # tied, and then not saved
    if "lm_head.decoder.bias" in weights:
        complete["lm_head.bias"] = weights["lm_head.decoder.bias"]  # the one that is used
    state = model.state_dict()
    with torch.no_grad():
        for ours, theirs in pairs.items():
            set_parameter(state[ours], given(complete, theirs, folder), theirs, folder)
        if TOKEN_TYPES in weights:
            # rows 0 and 1 are never looked up, but for padding, which fairseq sets to zero
            state["encoder.sentence_encoder.embed_positions.weight"][2:] += weights[TOKEN_TYPES][0]
    placed = {*pairs.values(), TOKEN_TYPES, "lm_head.decoder.weight", "lm_head.decoder.bias"}
    left = [name for name in weights if name not in placed]
    if left:
        notes.append(f"left out, as fairseq's RoBERTa has none: {', '.join(left)}")


def _dictionary_files(folder: Path, rows: int, notes: list[str]) -> dict[str, str]:
    """File name -> content of the dictionary, and of the BPE if the folder has a tokenizer."""
    vocabulary = read_vocabulary(folder)
    known = folder / "dict.txt"
    symbols = read_dictionary(known, rows) if known.is_file() else None
    if vocabulary is not None:
        if len(vocabulary.rows) != rows:
            raise CheckpointError(f"{folder}: a tokenizer of {len(vocabulary.rows)} tokens for {rows} embeddings")
        files = to_fairseq(vocabulary, symbols)
    else:
        notes.append("no tokenizer in the folder: no BPE written")
        numbers = [str(row) for row in range(len(SPECIAL), rows - 1)]
        files = {"dict.txt": dictionary_text(numbers)}
    if symbols is not None:
        files["dict.txt"] = known.read_text(encoding="utf-8")
    return files
