"""Lines that come in, by the rules of prepared text."""

import gzip
import io
import sys

import pytest

from fairseq_plugins.inference.source import Source
from fairseq_plugins.lines import CorpusError

TEXT = "\ufeffein Hund\n\n  zwei\u3000Hunde \nohne Ende".encode()
LINES = ["ein Hund", "", "  zwei\u3000Hunde ", "ohne Ende"]


def piped(monkeypatch, data, terminal=False):
    stdin = io.TextIOWrapper(io.BytesIO(data))
    stdin.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stdin", stdin)
    return Source(None)


@pytest.mark.parametrize("compress", [False, True])
def test_a_file(compress, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(gzip.compress(TEXT) if compress else TEXT)
    source = Source(str(path))
    assert list(source) == LINES
    assert source.unended
    assert source.size == (None if compress else len(TEXT))
    assert source.read == len(TEXT)


def test_a_pipe(monkeypatch):
    source = piped(monkeypatch, TEXT + b"\n")
    assert list(source) == LINES
    assert not source.unended
    assert list(piped(monkeypatch, b"")) == []


@pytest.mark.parametrize("character", ["\u2028", "\u0085", "\r", "\x0c", "\0"])
def test_characters_that_some_tool_takes_for_a_line_end(character, monkeypatch, tmp_path):
    path = tmp_path / "text"
    path.write_text(f"ein Hund\nein{character}Mann\n", encoding="utf-8", newline="")
    lines = iter(Source(str(path)))
    assert next(lines) == "ein Hund"
    with pytest.raises(CorpusError, match=rf"text:2: control or line-separator .* U\+{ord(character):04X} .* --repair"):
        next(lines)
    assert list(Source(str(path), repair=True)) == ["ein Hund", "ein Mann"]


def test_bytes_that_are_no_text(monkeypatch):
    with pytest.raises(CorpusError, match=r"standard input:2: byte 0xff at column 3 is not UTF-8"):
        list(piped(monkeypatch, b"a\nab\xff\n"))


def test_someone_who_types_is_told_and_goes_on(monkeypatch, capsys):
    source = piped(monkeypatch, b"ein Hund\nab\xff\nein\x0cMann\nzwei\n", terminal=True)
    assert source.keyboard
    assert list(source) == ["ein Hund", "", "", "zwei"]
    assert "standard input:2: byte 0xff" in (said := capsys.readouterr().err)
    assert "standard input:3: control or line-separator character U+000C" in said


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CorpusError, match="nowhere: no such file; check the name"):
        list(Source(str(tmp_path / "nowhere")))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(TEXT * 9)[:-9])
    with pytest.raises(CorpusError, match="the gzip file is damaged or incomplete"):
        list(Source(str(tmp_path / "cut.gz")))
