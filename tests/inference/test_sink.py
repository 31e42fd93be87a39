"""Where answers go, and what is left when a run ends before its end."""

import resource

import pytest
from running import ended, start

from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.sink import File, made_of

MADE = {"words": ["--beam", "5"], "reads": [["model.pt", 3, 4]]}


def test_a_file_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "out"
    sink = File(str(out), MADE, resume=False)
    sink.write("eins\nzwei\n", 2, whole=True)
    assert not out.exists()
    sink.write("drei\n", 1, whole=False)
    sink.finish()
    assert out.read_text() == "eins\nzwei\ndrei\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_going_on_after_the_last_whole_buffer(tmp_path):
    out = str(tmp_path / "out")
    sink = File(out, MADE, resume=False)
    sink.write("eins\nzwei\n", 2, whole=True)
    sink.write("drei\n", 1, whole=False)
    sink.file.write(b"ha")  # killed while it wrote
    again = File(out, MADE, resume=True)
    assert again.done == 2
    assert "the answers to 2 lines are in" in again.kept()
    again.write("drei\nvier\n", 2, whole=True)
    again.finish()
    assert (tmp_path / "out").read_text() == "eins\nzwei\ndrei\nvier\n"


def test_what_is_of_something_else_is_begun_anew(tmp_path):
    out = str(tmp_path / "out")
    for made, resume in (({**MADE, "words": ["--beam", "4"]}, True), (MADE, False)):
        File(out, MADE, resume=False).write("eins\n", 1, whole=True)
        sink = File(out, made, resume)
        assert (sink.done, (tmp_path / "out.partial").read_bytes()) == (0, b"")
    File(out, MADE, resume=False).write("eins\n", 1, whole=True)
    (tmp_path / "out.partial").write_text("ei")  # the disk lost the rest
    assert File(out, MADE, resume=True).done == 0
    (tmp_path / "out.partial.json").write_text("{")
    assert File(out, MADE, resume=True).done == 0


def test_a_shard_keeps_what_it_is_of(tmp_path):
    out = str(tmp_path / "out")
    sink = File(out, MADE, resume=False, keep=True)
    sink.write("eins\n", 1, whole=False)
    sink.finish()
    assert made_of(out) == MADE
    assert File(out, MADE, resume=True, keep=True).finished
    assert not File(out, {**MADE, "words": []}, resume=True, keep=True).finished


def test_no_room_keeps_what_is_written(tmp_path):
    out = tmp_path / "out"

    def write():
        sink = File(str(out), MADE, resume=False)
        sink.write("eins\n" * 1000, 1000, whole=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
        with pytest.raises(UserError, match=r"out: cannot be written \(File too large\); .*the answers to 1,000 lines"):
            sink.write("zwei\n" * 1000, 1000, whole=True)

    with open(tmp_path / "said", "w+") as said:
        status = ended(start(write, said))
        said.seek(0)
        assert status == 0, said.read()
    assert not out.exists()
    assert File(str(out), MADE, resume=True).done == 1000
    with pytest.raises(UserError, match=r"no/out: cannot be written \(No such file or directory\)"):
        File(str(tmp_path / "no" / "out"), MADE, resume=False)
