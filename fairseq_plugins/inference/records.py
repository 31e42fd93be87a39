"""The record of the text that a model was trained on: where it lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fairseq_plugins.checkpoints.options import get_option
from fairseq_plugins.checkpoints.reading import load_state
from fairseq_plugins.errors import UserError
from fairseq_plugins.text.record import TextRecord, read_record

RECORD = "text.json"


def find_record(text: str | None, checkpoint: str) -> TextRecord:
    """The record of the text that a model was trained on.

    Args:
        text: its folder, or the file, if the user has named it.
        checkpoint: of the model.

    Raises:
        UserError: there is none, it is damaged, or the one that the user has named has other dictionaries than the
            model's own, where that can be found.
    """
    beside = Path(checkpoint).parent / "text" / RECORD
    found = beside if beside.is_file() else _of_the_data(checkpoint)
    if text is None:
        if found is None:
            raise UserError(
                f"{checkpoint}: nothing tells what its text went through, neither {beside} nor the folder of its data; "
                "give --text DIR, which a prepare script wrote"
            )
        return read_record(found)
    record = read_record(Path(text) / RECORD if os.path.isdir(text) else text)
    if found is not None and _dictionaries(read_record(found)) != _dictionaries(record):
        raise UserError(
            f"{text}: has other dictionaries than {checkpoint} was trained with, by {found}; leave out --text"
        )
    return record


def _of_the_data(checkpoint: str) -> Path | None:
    """The record beside the data of a training, if they are still there."""
    state = load_state(checkpoint)
    config: Any = get_option(state["cfg"], "task") if state.get("cfg") is not None else state.get("args")
    data = str(get_option(config, "data") or "").split(os.pathsep)[0]
    found = Path(data).parent / RECORD
    return found if data and found.is_file() else None


def _dictionaries(record: TextRecord) -> dict[str, str]:
    return {language: file.sha256 for language, file in record.dictionaries.items()}
