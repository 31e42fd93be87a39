"""Files that are either the old ones or complete, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike

#: what the system says when there is no room: the disk is full, the quota used up, the file too large
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(OSError):
    """There was no room for a file; what stood there before is untouched."""


@contextlib.contextmanager
def whole(paths: Sequence[str], ending: str = ".tmp") -> Iterator[list[BinaryIO]]:
    """Open files for writing under temporary names; at the end all are synced to the disk and take their own.

    After an error none of them is there, and what had their names still has. The error is the system's or the block's.

    Args:
        paths: the files.
        ending: of the temporary names.
    """
    temporary = [f"{path}{ending}" for path in paths]
    try:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(name, "wb", buffering=1 << 20)) for name in temporary]
            yield files  # type: ignore[misc]
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for name, path in zip(temporary, paths):
            os.replace(name, path)
        for folder in {os.path.dirname(path) or "." for path in paths}:
            _sync_folder(folder)
    finally:
        for name in temporary:
            with contextlib.suppress(OSError):
                os.remove(name)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """:func:`whole` for one file, a checkpoint, as ``path + ".tmp"``.

    Raises:
        DiskFullError: no room; the unfinished file is gone, ``path`` is as it was.
    """
    written = 0
    try:
        with whole([path]) as (file,):
            try:
                yield file
            finally:
                with contextlib.suppress(OSError, ValueError):
                    file.flush()
                with contextlib.suppress(OSError, ValueError):
                    written = os.fstat(file.fileno()).st_size
    except BaseException as error:
        if not _no_room(error, path, written):
            raise
        free = shutil.disk_usage(os.path.dirname(path) or ".").free
        raise DiskFullError(
            f"no room for {path}: it takes more than the {written / 1e6:.1f} MB that were written, and "
            f"{free / 1e6:.1f} MB are free now; earlier checkpoints are untouched: make room (or keep fewer of them) "
            "and go on from the last"
        ) from error


@contextlib.contextmanager
def whole_files(names: Sequence[PathLike]) -> Iterator[list[BinaryIO]]:
    """:func:`whole` for files that a user has named.

    Raises:
        UserError: they cannot be written.
    """
    try:
        with whole(list(map(str, names)), f".{os.getpid()}.part") as files:
            yield files
    except OSError as error:
        listed = ", ".join(map(str, names))
        raise UserError(f"{listed}: cannot be written ({error.strerror}); check folder and free space") from None


def write_whole(name: PathLike, data: bytes) -> None:
    """Write a file so that it exists whole or not at all."""
    with whole_files([name]) as (file,):
        file.write(data)


def copy_durably(source: str, target: str) -> str:
    """``shutil.copyfile`` whose target is never a part of the source."""
    with open(source, "rb") as old, replacing(target) as new:
        shutil.copyfileobj(old, new, 1 << 20)
    return target


def _sync_folder(folder: str) -> None:
    """The new name, too, must reach the disk; not every file system lets a folder be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _no_room(error: BaseException, path: str, written: int) -> bool:
    """Whether an error is one of space; ``torch.save`` hides the system's behind a RuntimeError of its own."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    if not isinstance(error, RuntimeError):
        return False
    while error.__context__ is not None:
        error = error.__context__
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
    return shutil.disk_usage(os.path.dirname(path) or ".").free < max(written // 100, 1 << 20)
