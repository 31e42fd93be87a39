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
        UserError: there is none, or it is damaged.
    """
    if text is not None:
        return read_record(Path(text) / RECORD if os.path.isdir(text) else text)
    beside = Path(checkpoint).parent / "text" / RECORD
    if beside.is_file():
        return read_record(beside)
    state = load_state(checkpoint)
    config: Any = get_option(state["cfg"], "task") if state.get("cfg") is not None else state.get("args")
    data = str(get_option(config, "data") or "").split(os.pathsep)[0]
    found = Path(data).parent / RECORD
    if not data or not found.is_file():
        raise UserError(
            f"{checkpoint}: nothing tells what its text went through: there is neither {beside} nor "
            f"{found if data else 'a folder of data in it'}; give --text DIR, which a prepare script wrote"
        )
    return read_record(found)
