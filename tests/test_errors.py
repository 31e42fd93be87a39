"""What a user can mend ends a command with one sentence and status 1, whichever command it is."""

import pytest
import torch
from hostile import Hostile

from fairseq_plugins import cli

PLAN = ["plan", "--vocabulary", "100", "--", "data", "--arch", "transformer_neuralqkv_tiny", "--max-tokens", "100"]


def told(capsys, *words):
    """The sentence that a command ends with."""
    assert cli.main([*map(str, words)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"{words[0]}: error: ")
    return said[0].partition(" error: ")[2]


@pytest.mark.parametrize("command", ["average-checkpoints", "fold-checkpoint", "convert-checkpoint"])
def test_refused_checkpoints(command, tmp_path, capsys):
    torch.save({"model": Hostile()}, tmp_path / "x.pt")
    more = {"average-checkpoints": ["--output"], "convert-checkpoint": ["--to", "stock"]}.get(command, [])
    said = told(capsys, command, tmp_path / "x.pt", *more, tmp_path / "out.pt")
    assert "x.pt refused, and nothing in it was run: it holds posix.system" in said
    missing = tmp_path / "missing.pt"
    assert told(capsys, command, missing, *more, tmp_path / "out.pt").startswith(f"{missing}: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pt"]


@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("--attention-kernel", "elu2", "--attention-kernel elu2: unknown choice 'elu2'; known: elu1"),
    ("--attention-mixing", "moon=top-r", "moon"),
    ("--neural-qkv-activation", "sin", "--neural-qkv-activation sin: choose from"),
])  # fmt: skip
def test_options_of_attention_in_a_plan(name, value, sentence, capsys):
    assert sentence in told(capsys, *PLAN, name, value)


def test_folders_that_cannot_be_read_or_written(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert told(capsys, "toy-corpus", "--out", tmp_path / "file").startswith(f"{tmp_path}/file: cannot be made")
    words = ["average-checkpoints", tmp_path / "none", "--last", "2", "--output", tmp_path / "out.pt"]
    assert told(capsys, *words) == f"{tmp_path}/none: No such file or directory"
