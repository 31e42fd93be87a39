"""Files that take their names when they are on the disk, all of them or none."""

import os

import pytest

from fairseq_plugins.errors import UserError
from fairseq_plugins.runtime import durable
from fairseq_plugins.runtime.durable import whole_files, write_whole


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


def test_write_whole_leaves_nothing_on_failure(tmp_path):
    write_whole(tmp_path / "a", b"one")
    write_whole(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    with pytest.raises(UserError, match="cannot be written"):
        write_whole(tmp_path / "no" / "a", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_whole(tmp_path / "folder", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "folder"]


def test_whole_files_come_together_or_not_at_all(tmp_path):
    names = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ZeroDivisionError), whole_files(names) as files:
        files[0].write(b"%d" % (1 // 0))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="cannot be written"), whole_files([names[0], tmp_path / "no" / "b"]):
        pass
    assert list(tmp_path.iterdir()) == []
    with whole_files(names) as files:
        for number, file in enumerate(files):
            file.write(b"%d" % number)
    assert [name.read_bytes() for name in names] == [b"0", b"1"]
