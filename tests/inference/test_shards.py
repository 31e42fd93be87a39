"""Parts of a file that several jobs answer."""

import json

import pytest

from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.shards import Shard, merge, shard_path


@pytest.mark.parametrize(("lines", "size", "count"), [(0, 3, 2), (1, 3, 2), (10, 3, 2), (100, 7, 3), (9, 3, 5)])
def test_whole_buffers_each_once(lines, size, count, tmp_path):
    path = tmp_path / "text"
    path.write_text("".join(f"{'x' * (number % 7)}\n" for number in range(lines)))
    shards = [Shard(f"{number}/{count}", str(path), size, False) for number in range(count)]
    assert [shard.first for shard in shards[1:]] == [shard.end for shard in shards[:-1]]
    assert shards[0].first == 1
    assert shards[-1].end - 1 >= lines
    assert all((shard.first - 1) % size == 0 for shard in shards)


def test_as_many_characters(tmp_path):
    """Half of the lines are ten times as long as the others."""
    path = tmp_path / "text"
    path.write_text("".join(f"{'x' * (100 if number < 300 else 10)}\n" for number in range(600)))
    shards = [Shard(f"{number}/3", str(path), 10, False) for number in range(3)]
    sizes = [sum(100 if line <= 300 else 10 for line in range(shard.first, min(shard.end, 601))) for shard in shards]
    assert sum(sizes) == 33000
    assert max(sizes) - min(sizes) <= 1000


@pytest.mark.parametrize("given", ["2/2", "1", "-1/2", "1/0", "a/b"])
def test_no_such_shard(given, tmp_path):
    with pytest.raises(UserError, match=rf"--shard {given}: give I/N with I from 0 to N - 1"):
        Shard(given, str(tmp_path), 10, False)


def test_put_together(tmp_path):
    out = str(tmp_path / "out")

    def write(number, count=3, made="this"):
        path = shard_path(out, number, count)
        (tmp_path / path).write_text(f"{number}\n")
        (tmp_path / f"{path}.json").write_text(json.dumps({"made": made}))

    with pytest.raises(UserError, match="no shard of it is finished"):
        merge(out)
    write(2), write(0)
    with pytest.raises(UserError, match="of 3 shards these are missing: 1; run them, the first with --shard 1/3"):
        merge(out)
    write(1, made="that")
    with pytest.raises(UserError, match=r"out\.1-of-3 is of another model, text or option than .*0-of-3"):
        merge(out)
    write(1), write(1, count=2)
    with pytest.raises(UserError, match="there are shards of 2 and 3; remove"):
        merge(out)
    for ending in ("", ".json"):
        (tmp_path / f"out.1-of-2{ending}").unlink()
    assert merge(out) == 3
    assert (tmp_path / "out").read_text() == "0\n1\n2\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
