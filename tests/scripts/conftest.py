"""Data of the pipelines."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_tools import environment, sentences, write_pair
from preparation import stub


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a space in its name: raw/ and the bin/ that fairseq-preprocess makes of it."""
    folder = tmp_path_factory.mktemp("some data")
    for seed, (subset, count) in enumerate((("train", 400), ("valid", 30), ("test", 41))):
        write_pair(folder / "raw" / subset, sentences(count, seed))
    prefixes = [word for s in ("train", "valid", "test") for word in (f"--{s}pref", folder / "raw" / s)]
    command = [sys.executable, "-m", "fairseq_cli.preprocess", "-s", "de", "-t", "en", "--joined-dictionary"]
    command += [*map(str, prefixes), "--destdir", str(folder / "bin")]
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    return folder


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A Python without the tools beside it, to which a test adds its own."""
    folder = tmp_path / "stubs"
    folder.mkdir()
    stub(folder, "python", f'exec {shlex.quote(sys.executable)} "$@"')
    return folder
