"""Data of the pipelines."""

import shlex
from pathlib import Path

import pytest
from pipeline_tools import sentences, write_pair
from preparation import stub
from running import forked
from zygote import quick_python


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a space in its name: raw/ and the bin/ that fairseq-preprocess makes of it."""
    folder = tmp_path_factory.mktemp("some data")
    for seed, (subset, count) in enumerate((("train", 400), ("valid", 30), ("test", 41))):
        write_pair(folder / "raw" / subset, sentences(count, seed))
    prefixes = [word for s in ("train", "valid", "test") for word in (f"--{s}pref", folder / "raw" / s)]
    forked("preprocess", "-s", "de", "-t", "en", "--joined-dictionary", *prefixes, "--destdir", folder / "bin")
    return folder


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A Python without the tools beside it, to which a test adds its own."""
    folder = tmp_path / "stubs"
    folder.mkdir()
    stub(folder, "python", f'exec {shlex.quote(str(quick_python()))} "$@"')
    return folder
