"""Files that take their names when they are on the disk, all of them or none."""

import os

import pytest

from fairseq_plugins.corpus import whole_files
from fairseq_plugins.runtime import durable


def test_every_file_is_synced_before_any_takes_its_name(tmp_path, monkeypatch):
    done, names = [], [tmp_path / "a", tmp_path / "b"]
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(durable.os, name, lambda *args, name=name, real=real: [done.append(name), real(*args)][1])
    with whole_files(names) as files:
        for file in files:
            file.write(b"x")
        assert not any(path.exists() for path in names)
    assert done == ["fsync", "fsync", "replace", "replace", "fsync"]  # the last is the folder's
    assert [path.read_bytes() for path in names] == [b"x", b"x"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_after_an_error_the_old_ones_stand(error, tmp_path):
    (tmp_path / "a").write_text("old")

    def write():
        with whole_files([tmp_path / "a", tmp_path / "b"]) as files:
            files[1].write(b"new")
            raise error

    with pytest.raises((KeyboardInterrupt, ValueError)):
        write()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]
