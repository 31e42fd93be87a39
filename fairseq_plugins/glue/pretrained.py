"""A pretrained checkpoint as the options that build its model again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

import fairseq_plugins.models  # noqa: F401  first: its repairs and registration
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError
from fairseq_plugins.checkpoints.building import command_options
from fairseq_plugins.compat.encoder_layer import DUPLICATE_PARAMETERS
from fairseq_plugins.dictionary import read_entries
from fairseq_plugins.lines import PathLike

#: options that the fine-tuning sets, or that concern checkpoints instead of models
NOT_THE_MODELS = ("max_positions", "load_checkpoint_heads")
#: <s> <pad> </s> <unk>, which no dict.txt names, and <mask>, which the task adds
SPECIAL_SYMBOLS = 5


@dataclass(frozen=True)
class Pretrained:
    """What a masked language model's checkpoint says about its model."""

    path: Path
    arch: str
    #: the options in which the model differs from its architecture, as fairseq-train takes them
    options: list[str]
    #: tokens that the model can take at once
    max_positions: int
    #: symbols of its dictionary, the special ones included
    vocabulary: int
    parameters: int
    #: the folder of the pretraining data as it was given then
    data: Path | None

    @classmethod
    def load(cls, path: PathLike) -> Pretrained:
        """Read a checkpoint.

        Raises:
            CheckpointError: it cannot be read, is no RoBERTa-like model, or has an architecture that is not known
                here, or one of its options cannot be given to fairseq-train.
        """
        checkpoint = Checkpoint.read(path)
        # in the oldest checkpoints the encoder is called decoder
        weights = {name.replace("decoder.", "encoder.", 1): tensor for name, tensor in checkpoint.weights.items()}
        try:
            positions = weights["encoder.sentence_encoder.embed_positions.weight"]
            words = weights["encoder.sentence_encoder.embed_tokens.weight"]
        except KeyError as error:
            raise CheckpointError(
                f"{path}: no RoBERTa-like model with learned positions ({error} is missing); give a checkpoint of "
                "fairseq-train --task masked_lm"
            ) from error
        arch, options = checkpoint.architecture, checkpoint.options
        data = getattr(options, "data", None)
        return cls(
            path=Path(path),
            arch=arch,
            options=command_options(arch, options, str(path), NOT_THE_MODELS),
            max_positions=positions.size(0) - 2,  # fairseq counts positions from 2, behind <pad>
            vocabulary=words.size(0),
            parameters=_count_parameters(weights),
            data=Path(data) if isinstance(data, str) else None,
        )

    def check_dictionary(self, path: PathLike) -> None:
        """Check that data was made with the dictionary of the pretraining.

        Raises:
            CheckpointError: it was not.
        """
        own = _symbols(path)
        size = len(own) + SPECIAL_SYMBOLS
        remedy = "prepare the data again with the BPE and the dict.txt of the pretraining (scripts/prepare_glue.sh)"
        if size != self.vocabulary:
            raise CheckpointError(
                f"{path}: with it a model has {size:,} symbols, but {self.path} has {self.vocabulary:,}; {remedy}"
            )
        pretraining = None if self.data is None else self.data / "dict.txt"
        if pretraining is not None and pretraining.is_file() and _symbols(pretraining) != own:
            raise CheckpointError(f"{path}: not the dictionary of the pretraining, {pretraining}; {remedy}")

    def checksum(self) -> str:
        """SHA-256 of the file."""
        digest = hashlib.sha256()
        with open(self.path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()


def _symbols(path: PathLike) -> list[str]:
    """The symbols of a ``dict.txt`` without their counts."""
    return [entry.symbol for entry in read_entries(path)]


def _count_parameters(weights: dict[str, Tensor]) -> int:
    """Parameters by their names; one tensor under two names, as the tied embedding and output, counts once."""
    sizes = {
        tensor.data_ptr(): tensor.numel()
        for name, tensor in weights.items()
        if name.rpartition(".")[2] not in (*DUPLICATE_PARAMETERS, "version")
    }
    return sum(sizes.values())
