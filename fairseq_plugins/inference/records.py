"""The record of the text that a model was trained on: where it lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fairseq_plugins.checkpoints.options import get_option, set_option
from fairseq_plugins.checkpoints.reading import load_state
from fairseq_plugins.errors import UserError
from fairseq_plugins.text.record import TextRecord, read_record

RECORD = "text.json"
#: fairseq's options of a translation task
SIDES = ("source_lang", "target_lang")


def find_record(text: str | None, checkpoint: str, option: str = "--text") -> TextRecord:
    """The record of the text that a model was trained on.

    Args:
        text: its folder, or the file, if the user has named it.
        checkpoint: of the model.
        option: by which the user names it.

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
                f"give {option} DIR, which a prepare script wrote"
            )
        return read_record(found)
    record = read_record(Path(text) / RECORD if os.path.isdir(text) else text)
    if found is not None and _dictionaries(read_record(found)) != _dictionaries(record):
        raise UserError(
            f"{text}: has other dictionaries than {checkpoint} was trained with, by {found}; leave out {option}"
        )
    return record


def settle_direction(task: Any, record: TextRecord, checkpoint: str, option: str = "--text") -> tuple[str, str]:
    """The languages that a translation model reads and writes, which its task's configuration then has.

    A training that was not told the direction took that of its data.

    Raises:
        UserError: the record is of other languages.
    """
    of_model = [get_option(task, side) for side in SIDES]
    source, target = of_model if all(of_model) else (record.source, record.target)
    if {source, target} != {record.source, record.target}:
        raise UserError(
            f"{checkpoint} translates {source}-{target}, but the text of {record.folder} is "
            f"{record.source}-{record.target}; give {option} with the folder of the model's corpus"
        )
    for side, language in zip(SIDES, (source, target)):
        set_option(task, side, language)
    return source, target


def _of_the_data(checkpoint: str) -> Path | None:
    """The record beside the data of a training, if they are still there."""
    state = load_state(checkpoint)
    config: Any = get_option(state["cfg"], "task") if state.get("cfg") is not None else state.get("args")
    data = str(get_option(config, "data") or "").split(os.pathsep)[0]
    found = Path(data).parent / RECORD
    return found if data and found.is_file() else None


def _dictionaries(record: TextRecord) -> dict[str, str]:
    return {language: file.sha256 for language, file in record.dictionaries.items()}
