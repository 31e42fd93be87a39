"""SentencePiece: models learnt by its package, and text in their pieces."""

import io
import sys
from types import SimpleNamespace

import pytest
import sentencepiece

from fairseq_plugins import cli

TEXT = [f"ein {a} und {b} im {c}" for a in ("hund", "mann") for b in ("baum", "ball") for c in ("haus", "wagen")] * 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "text").write_text("".join(f"{line}\n" for line in TEXT))
    assert cli.main(["learn-sentencepiece", str(folder / "text"), "--size", "40", "--output", str(folder / "m")]) == 0
    return folder / "m"


def test_standard_input_in_all_pieces(model, monkeypatch):
    written = io.BytesIO()
    lines = ["ein baum", "", " Ein\u3000Öl\u2028", "\u2581 haus  "]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("\n".join(lines).encode())))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    assert cli.main(["apply-sentencepiece", "--model", str(model)]) == 0
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    expected = [" ".join(processor.encode(line, out_type=str)) for line in lines]
    assert written.getvalue().decode().split("\n")[:-1] == expected


def test_as_many_pieces_as_characters_at_least(model, capsys):
    text = str(model.with_name("text"))
    asked = ["learn-sentencepiece", text, "--output", str(model.with_name("small")), "--size"]
    assert cli.main([*asked, "9"]) == 1
    said = capsys.readouterr().err
    assert "learn-sentencepiece: error: 9 pieces are fewer than the characters of the text; ask for " in said
    least = said.split()[-3]
    assert cli.main([*asked, str(int(least) - 1)]) == 1
    assert cli.main([*asked, least]) == 0
    assert f"codes: {least} pieces" in capsys.readouterr().err


def test_no_more_pieces_than_the_text_has(model, capsys):
    text = str(model.with_name("text"))
    assert cli.main(["learn-sentencepiece", text, "--size", "9000", "--output", str(model.with_name("large"))]) == 0
    assert int(capsys.readouterr().err.split()[1]) < 300


def test_what_is_no_model_is_refused(model, capsys):
    text = str(model.with_name("text"))
    assert cli.main(["apply-sentencepiece", "--model", text]) == 1
    assert f"{text}: cannot be read, or is no SentencePiece model" in capsys.readouterr().err
