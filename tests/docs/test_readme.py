"""README.md is short, its fairseq commands run as they stand there, and its scripts explain themselves."""

import re
import subprocess

import pytest
from documents import commands
from running import SIZES, fairseq


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def test_it_is_short(readme):
    assert len(readme.splitlines()) <= 130


def test_fairseq_commands_run(readme, bin_dir, plugin, tmp_path):
    """As they stand there, on a small corpus and, for time, a small model."""
    (tmp_path / "data-bin").mkdir()
    (tmp_path / "data-bin" / "iwslt17.de-en").symlink_to(bin_dir)
    (tmp_path / "fairseq_plugins").symlink_to(plugin)
    shown = [words for words in commands(readme) if re.match(r"fairseq-(?!plugins)", words[0])]
    assert [words[0] for words in shown] == ["fairseq-train", "fairseq-generate"]
    small = {"train": [*SIZES, "--max-update", "3", "--cpu"], "generate": ["--cpu"]}
    for program, *arguments in shown:
        name = program[len("fairseq-") :]
        output = fairseq(name, *arguments, *small[name], cwd=tmp_path)
    assert "BLEU4" in output


def test_scripts_are_there_and_explain_themselves(readme, root):
    scripts = set(re.findall(r"bash (scripts/\w+\.sh)", readme))
    assert {"scripts/quickstart.sh", "scripts/test.sh", "scripts/setup.sh"} <= scripts
    for script in scripts:
        shown = subprocess.run(["bash", script, "--help"], cwd=root, capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0, shown.stderr
        assert "Example" in shown.stdout, script
