"""Reading what a training saved, completely and by the allow-list."""

from __future__ import annotations

import pickle
import zipfile
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike

from . import safe_load


class CheckpointError(UserError):
    """A checkpoint that cannot be used or converted; the message says which and why."""


def check_archive(path: PathLike, whole: bool) -> None:
    """Check that a file is as long as it says, and for ``whole`` that its checksums match.

    The format before torch 1.6 has neither: only :func:`load_state` tells.

    Raises:
        CheckpointError: it is empty, truncated or damaged, or cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(4)
        if not start:
            raise CheckpointError(f"{path}: empty file")
        if start != b"PK\x03\x04":
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() if whole else None
    except (zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    if damaged is not None:
        raise CheckpointError(f"{path}: damaged (the checksum of {damaged} does not match)")


def load_state(path: PathLike, map_location: str = "cpu") -> dict[str, Any]:
    """What a checkpoint holds, by the allow-list.

    Raises:
        CheckpointError: it holds more than that, or is truncated, damaged or no checkpoint.
    """
    try:
        state = safe_load.load_checkpoint(path, map_location)
    except safe_load.UntrustedCheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise CheckpointError(f"{path}: truncated or damaged ({reason})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a fairseq checkpoint (it holds a {type(state).__name__})")
    return state
