"""What scripts ask of the package: text in lower case, and the sequences of a binarised text."""

import io
import sys
from types import SimpleNamespace

import pytest
from fairseq.data.indexed_dataset import MMapIndexedDataset
from tiny_training import write_corpus

from fairseq_plugins.cli import main


def lowercase(monkeypatch, content):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    return main(["lowercase"]), written.getvalue()


@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_end_at_the_line_feed_alone(end, monkeypatch):
    text = f"Ein\u2028Haus\r\x85ÄÖ\n\nIST\x0cDas{end}"
    assert lowercase(monkeypatch, text.encode()) == (0, f"ein\u2028haus\r\x85äö\n\nist\x0cdas{end}".encode())


def test_what_is_no_text_is_named(monkeypatch, capsys):
    assert lowercase(monkeypatch, b"A\n\xff\n") == (1, b"a\n")
    assert "lowercase: error: standard input:2: byte 0xff" in capsys.readouterr().err


@pytest.mark.parametrize("length", [1, 7, 10_000])
def test_sequences_of_a_text(length, tmp_path, capsys):
    write_corpus(tmp_path)
    data = MMapIndexedDataset(str(tmp_path / "mono" / "train"))
    tokens = [token for sentence in data for token in sentence]
    assert main(["count-sequences", str(tmp_path / "mono" / "train"), str(length)]) == 0
    assert int(capsys.readouterr().out) == len([tokens[at : at + length] for at in range(0, len(tokens), length)])


def test_a_text_that_is_not_there(tmp_path, capsys):
    assert main(["count-sequences", str(tmp_path / "train"), "7"]) == 1
    assert f"count-sequences: error: cannot read {tmp_path / 'train'}.idx" in capsys.readouterr().err
