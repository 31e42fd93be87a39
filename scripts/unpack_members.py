#!/usr/bin/env python3
"""Take single files out of an archive: unpack_members.py ARCHIVE FOLDER NAME...

ARCHIVE is a tar, gzipped or not, or a zip. Those of its files that are called NAME or NAME.gz, in whatever folder,
are written as FOLDER/NAME or FOLDER/NAME.gz; a NAME that it lacks is no error.
"""

import gzip
import os
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO


def members(archive: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of an archive: path inside it, content."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                if not info.is_dir():
                    with file.open(info) as content:
                        yield info.filename, content
        return
    with open(archive, "rb") as packed:
        compressed = packed.peek(2)[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=packed) if compressed else packed
        # As a stream: an archive of gigabytes is gone through once.
        with tarfile.open(fileobj=stream, mode="r|") as file:
            for member in file:
                packed_file: IO[bytes] | None = file.extractfile(member) if member.isfile() else None
                if packed_file is not None:
                    yield member.name, packed_file
        # tarfile stops before the checksum at the end.
        while stream.read(1 << 20):
            pass


def main(archive: str, folder: str, names: list[str]) -> int:
    """Unpack; returns the exit status."""
    wanted = {*names, *(f"{name}.gz" for name in names)}
    try:
        for path, content in members(archive):
            name = os.path.basename(path)
            if name in wanted:
                with open(os.path.join(folder, name), "wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        print(f"unpack: error: {archive} is damaged or incomplete ({error}); fetch it again", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"unpack: error: {archive} cannot be unpacked to {folder} ({error})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
