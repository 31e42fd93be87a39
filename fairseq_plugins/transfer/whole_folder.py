"""A folder that is written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairseq_plugins.checkpoints import CheckpointError
from fairseq_plugins.lines import PathLike


@contextmanager
def whole_folder(target: PathLike) -> Iterator[Path]:
    """A new folder to write into, which gets its name when all is written and disappears after an error.

    Raises:
        CheckpointError: the target exists and is not an empty folder.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} exists: name a new folder, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        made = Path(temporary) / target.name
        made.mkdir()
        yield made
        if target.exists():
            target.rmdir()
        shutil.move(str(made), target)
