"""README.md is short, its fairseq commands run as they stand there, and its scripts explain themselves."""

import re
import subprocess
from pathlib import Path

import pytest
from documents import blocks, commands
from pipeline_tools import environment
from recorded_text import ENGLISH, FRENCH
from running import SIZES, fairseq
from zygote import quick_python


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def test_it_is_short(readme):
    assert len(readme.splitlines()) <= 130


def test_fairseq_commands_run(readme, bin_dir, plugin, tmp_path):
    """As they stand there, on a small corpus and, for time, a small model and short translations."""
    (tmp_path / "data-bin").mkdir()
    (tmp_path / "data-bin" / "iwslt17.de-en").symlink_to(bin_dir)
    (tmp_path / "fairseq_plugins").symlink_to(plugin)
    shown = [words for words in commands(readme) if re.match(r"fairseq-(?!plugins)", words[0])]
    assert [words[0] for words in shown] == ["fairseq-train", "fairseq-generate"]
    small = {"train": [*SIZES, "--max-update", "3", "--cpu"], "generate": ["--cpu", "--max-len-b", "12"]}
    for program, *arguments in shown:
        name = program[len("fairseq-") :]
        output = fairseq(name, *arguments, *small[name], cwd=tmp_path)
    assert "BLEU4" in output


def test_own_text_in_three_commands(readme, root, tmp_path):
    """French and English, from raw files to a translated sentence; the training as long as its sizes are small."""
    text = tmp_path / "fr-en"
    text.mkdir()
    for language, lines in (("fr", FRENCH), ("en", ENGLISH)):
        numbered = (f"{line.rstrip('.')} {number}.\n" for number in range(8) for line in lines)
        (text / f"train.{language}").write_text("".join(numbered), encoding="utf-8")
    section = readme.partition("## Your own text")[2].partition("\n## ")[0]
    (block,) = blocks(section, "bash")
    block = block.replace("out data/fr-en", "out data/fr-en --bpe 150 --valid 5 --test 5")
    block = (
        block.replace("2500", "30 --cpu")
        .replace("updates 300", "updates 10 --num-workers 0 --validate-interval 100 --save-interval 100")
        .replace("scripts/", f"{root}/scripts/")
    )
    names = [Path(found).name for found in re.findall(r"\S+\.sh", block)]
    assert names == ["prepare_parallel.sh", "train.sh", "translate.sh"]
    env = environment(HOME=str(tmp_path), PYTHON=str(quick_python()))
    block = block.replace(f"| {root}", f"| bash {root}").replace(f"\n{root}", f"\nbash {root}")
    done = subprocess.run(["bash", "-ec", block], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    *_, answer, nothing = done.stdout.split("\n")
    assert nothing == ""
    assert re.fullmatch(r"[\x20-\x7e]+", answer)
    assert set(answer.split()) & set(" ".join(ENGLISH).split()), answer


def test_scripts_are_there_and_explain_themselves(readme, root):
    scripts = set(re.findall(r"bash (scripts/\w+\.sh)", readme))
    assert {"scripts/quickstart.sh", "scripts/test.sh", "scripts/setup.sh"} <= scripts
    for script in scripts:
        shown = subprocess.run(["bash", script, "--help"], cwd=root, capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0, shown.stderr
        assert "example" in shown.stdout.lower(), script
