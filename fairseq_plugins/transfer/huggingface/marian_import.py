"""From a Marian model's folder for ``transformers`` (opus-mt) to a checkpoint of the ``transformer`` family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, Weights, building
from fairseq_plugins.checkpoints.probe import BOS, LOGITS, PAD, Expected, outputs, padded, probe_of, steps_of
from fairseq_plugins.lines import PathLike

from .files import CONFIG, is_pickle, read_json, read_weights
from .marian_config import to_arguments
from .marian_vocabulary import MarianVocabulary, marian_vocabulary
from .new_checkpoint import given, set_parameter, training_config, write_beside
from .running import MARIAN, load, marian_outputs

ARCHITECTURE = "transformer_baseline"
TASK = ("--task", "translation", "--criterion", "cross_entropy")
EMBEDDINGS, BIAS = "model.shared.weight", "final_logits_bias"
#: copies of the embeddings, and tables that are computed
ALIASES = ("embed_tokens.weight", "embed_positions.weight", "lm_head.weight")
TEXT_MODELS = ("source.spm", "target.spm")
#: of <s>, which only begins a sentence: low enough for a probability of 0, and finite for label smoothing and 16 bits
NEVER = -1e4


def import_marian(source: PathLike, target: PathLike) -> list[str]:
    """Write a ``MarianMTModel`` as a checkpoint of ``transformer_baseline`` that computes the same.

    Marian begins a translation with ``<pad>``: here ``<s>`` has that row for the decoder's input and is never
    generated, while ``<pad>`` keeps its logit, so that all probabilities are Marian's. In further training the two rows
    are apart: the first learns from what the decoder reads, the other from the logits.

    Args:
        source: a folder with ``config.json``, ``vocab.json`` and ``model.safetensors`` or ``pytorch_model.bin``.
        target: the checkpoint to write; ``dict.txt`` and, if the folder has them, ``source.spm`` and ``target.spm``
            are written beside it.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the folder cannot be read, the ``transformer`` family cannot be this model, or
            ``transformers``, which computes some outputs to compare them, is missing.
        CorpusError: a file cannot be written.
    """
    folder, target = Path(source), Path(target)
    config = read_json(folder / CONFIG)
    arguments = to_arguments(config, str(folder / CONFIG))
    weights = read_weights(folder)
    words = given(weights, EMBEDDINGS, folder)
    vocabulary = marian_vocabulary(read_json(folder / "vocab.json"), config, words.size(0), str(folder))
    cfg = training_config(TASK, ARCHITECTURE, arguments, str(target.parent))
    rows = len(vocabulary.rows)
    model = building.build(cfg["model"], building.Vocabularies(rows, rows)).to(words.dtype)
    _load(model, weights, vocabulary, folder)

    files = {name: (folder / name).read_bytes() for name in TEXT_MODELS if (folder / name).is_file()}
    files["dict.txt"] = vocabulary.dictionary().encode("utf-8")
    checkpoint = Checkpoint(str(folder), {"args": None, "cfg": cfg, "model": {}})
    checkpoint.begin_training(cfg["model"], model.state_dict())
    _check(folder, weights, checkpoint, vocabulary.rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_beside(target, files)
    checkpoint.write(target)
    return _notes(config, vocabulary, list(files))


def _check(folder: Path, weights: Weights, checkpoint: Checkpoint, rows: list[int]) -> None:
    """Check that fairseq computes what transformers computes from a folder, for all symbols but ``<s>``.

    ``rows`` has Marian's row for each of ours.
    """
    result = f"the {ARCHITECTURE}"
    imported = building.load(checkpoint.called(f"{folder}: {result}"))
    probe = probe_of(imported)

    def words(model: Any) -> dict[str, Tensor]:
        return {LOGITS: outputs(model, probe, f"{folder}: {result}")[LOGITS][:, BOS + 1 :]}

    ours = Expected.of(imported, words, steps_of(checkpoint.weights))
    place, pad = torch.tensor(rows), rows[PAD]
    # on the left Marian would count padding among the positions
    sources = place[padded([row[row != PAD] for row in probe.inputs["src_tokens"]])]
    read = place[probe.inputs["prev_output_tokens"]]
    read[:, 0] = pad  # with which Marian begins
    original = load(folder, MARIAN, f"{folder} as transformers' {MARIAN}", weights if is_pickle(folder) else None)
    theirs = marian_outputs(original, sources, read, pad, str(folder))[probe.text][:, place[BOS + 1 :]]
    ours.check({LOGITS: theirs}, str(folder), result)


def _load(model: Any, weights: Weights, vocabulary: MarianVocabulary, folder: Path) -> None:
    """Set every parameter of the model."""
    bias = given(weights, BIAS, folder).view(-1)
    if len(bias) != weights[EMBEDDINGS].size(0):
        raise CheckpointError(f"{folder}: {BIAS} has {len(bias)} entries for {weights[EMBEDDINGS].size(0)} embeddings")
    ours_of = {f"model.{name}": name for name in dict(model.named_parameters())}
    with torch.no_grad():
        for theirs, ours in ours_of.items():
            if ours == "encoder.embed_tokens.weight":  # the decoder's and the output matrix are the same tensor
                tensor = weights[EMBEDDINGS][vocabulary.rows]
            elif ours == "decoder.output_bias":
                tensor = bias[vocabulary.rows].clone()
                tensor[0] = NEVER
            else:
                tensor = given(weights, theirs, folder)
            set_parameter(model.get_parameter(ours), tensor, theirs, folder)
    left = [name for name in weights if name not in (*ours_of, EMBEDDINGS, BIAS) and not name.endswith(ALIASES)]
    if left:
        raise CheckpointError(f"{folder}: {left[0]} has no place in the model that {CONFIG} means")


def _notes(config: dict[str, Any], vocabulary: MarianVocabulary, files: list[str]) -> list[str]:
    notes = [f"architecture {ARCHITECTURE} of {config['encoder_layers']} + {config['decoder_layers']} layers"]
    if vocabulary.unwritable:
        pieces = f"{len(vocabulary.unwritable)} pieces, such as {vocabulary.unwritable[0]!r}"
        notes.append(f"{pieces}, cannot stand in fairseq's text: they will be <unk>")
    return [*notes, f"wrote {', '.join(files)} beside"]
