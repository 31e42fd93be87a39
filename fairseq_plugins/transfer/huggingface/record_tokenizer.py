"""The tokenizer of an exported translation or language model: the record of its text, with the files that it names."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from fairseq_plugins.checkpoints import Checkpoint, CheckpointError
from fairseq_plugins.checkpoints.options import get_option
from fairseq_plugins.dictionary import load_dictionary
from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.records import RECORD, find_record
from fairseq_plugins.text.record import ONLY_SOURCE, TextRecord
from fairseq_plugins.text.steps import ByteBpe, KnownFile, Step

from .code import MODELS, file_name, write_code
from .files import write_json
from .tokenizer import write_causal_tokenizer

MODULE = f"{MODELS}.tokenization"


@dataclass
class RecordTokenizing:
    """The tokenizer of an exported translation or causal language model.

    Args:
        checkpoint: of the model.
        text: the record or its folder (default: the one beside the checkpoint, or its data, if there is one).
    """

    checkpoint: Checkpoint
    text: str | None = None

    def write(self, folder: Path, rows: tuple[int, int], positions: int) -> list[str]:
        """Write it for a model of so many source and target rows, and positions; returns what was done.

        Raises:
            CheckpointError: the record's dictionaries are not the model's.
            UserError: the record that was asked for cannot be used.
        """
        try:
            record = find_record(self.text, self.checkpoint.name)
        except UserError as error:
            if self.text is not None:
                raise
            return [f"wrote no tokenizer ({error})"]
        if any(isinstance(step, ByteBpe) for steps in record.steps.values() for step in steps):
            return self._write_byte_bpe(record, folder, rows[1], positions)
        record = _flat(record, self._direction(record), folder)
        for language, expected in zip((record.source, record.target), rows):
            file = record.dictionaries[language].name
            found = len(load_dictionary(folder / file))
            if found != expected:
                name = self.checkpoint.name
                raise CheckpointError(f"{name}: {found} symbols for {language}, but the model has {expected} rows")
        record.write(folder / RECORD)
        settings = {
            "tokenizer_class": "RecordTokenizer",
            "auto_map": {"AutoTokenizer": [f"{file_name(MODULE)}.RecordTokenizer", None]},
            "model_max_length": positions,
        }
        write_json(settings, folder / "tokenizer_config.json")
        write_code(folder, (MODULE,))
        return ["wrote the tokenizer"]

    def _write_byte_bpe(self, record: TextRecord, folder: Path, rows: int, positions: int) -> list[str]:
        """GPT-2's BPE by transformers' own class, which any version of it reads."""
        step, *others = record.steps[record.source]
        if record.source != ONLY_SOURCE or others or not isinstance(step, ByteBpe):
            return ["wrote no tokenizer: byte-level BPE is written for language models alone, and nothing beside it"]
        symbols = load_dictionary(record.dictionaries[record.source].find(record.folder)).symbols
        if len(symbols) != rows:
            name = self.checkpoint.name
            raise CheckpointError(f"{name}: {len(symbols)} symbols in its dictionary, but the model has {rows} rows")
        try:
            write_causal_tokenizer(folder, step.encoder_json.find(record.folder).parent, symbols, positions)
        except CheckpointError as error:
            if self.text is not None:
                raise
            return [f"wrote no tokenizer ({error})"]
        return ["wrote the tokenizer"]

    def _direction(self, record: TextRecord) -> tuple[str, str]:
        """The languages that the model reads and writes: those of its training, else of the record."""
        task = self.checkpoint.task_options
        trained = (get_option(task, "source_lang"), get_option(task, "target_lang"))
        return trained if set(trained) == {record.source, record.target} else (record.source, record.target)


def _flat(record: TextRecord, direction: tuple[str, str], folder: Path) -> TextRecord:
    """A record whose files lie in a folder by the names that the tokenizer's class knows, in a model's direction."""
    steps: dict[str, list[Step]] = {}
    dictionaries: dict[str, KnownFile] = {}
    for side, language in zip(("source", "target"), direction):

        def moved(file: KnownFile, name: str) -> KnownFile:
            (folder / name).write_bytes(file.find(record.folder).read_bytes())
            return KnownFile(name, file.sha256)

        dictionaries[language] = moved(record.dictionaries[language], f"{side}.dict.txt")
        steps[language] = []
        for step in record.steps[language]:
            files = [item.name for item in fields(step) if isinstance(getattr(step, item.name), KnownFile)]
            changes: dict[str, Any] = {name: moved(getattr(step, name), f"{side}.codes") for name in files}
            steps[language].append(replace(step, **changes) if changes else step)
    return TextRecord(*direction, steps=steps, dictionaries=dictionaries, folder=folder)
