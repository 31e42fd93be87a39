"""Running the scripts that prepare data."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from pipeline_tools import ROOT, environment
from zygote import quick_python

from fairseq_plugins import cli
from fairseq_plugins.lines import read_lines
from fairseq_plugins.text.record import read_record


def prepare(name: str, *options: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run scripts/prepare_NAME.sh."""
    command = ["bash", str(ROOT / "scripts" / f"prepare_{name}.sh"), *map(str, options)]
    return subprocess.run(
        command, capture_output=True, text=True, env=env or environment(PYTHON=str(quick_python())), timeout=300
    )


def reading(name: str, source: Path, out: Path, *options: object) -> Callable[..., subprocess.CompletedProcess]:
    """How scripts/prepare_NAME.sh reads text, by its dry run: ``read(changed, out, capfd)`` does it in this process.

    The text is then in ``changed``, laid out as in ``source``; pytest's ``capfd`` says what was written.
    """
    result = prepare(name, "--from", source, "--out", out, *options, "--dry-run")
    succeeded(result)
    command = re.search(r"^\+ fairseq-plugins (read-corpus .*)$", result.stdout, re.MULTILINE)[1]

    def read(changed, folder, capfd):
        words = shlex.split(command.replace(str(source), str(changed)).replace(str(out), str(folder)))
        (folder / ".partial" / "raw").mkdir(parents=True)
        return subprocess.CompletedProcess(words, cli.main(words), *capfd.readouterr())

    return read


def tree(folder: Path) -> dict[str, str]:
    """Names and checksums of all files under a folder."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def repeated_in_process(out: Path) -> None:
    """The record of a prepared text makes of raw/, here, what the stages made: bpe/, or of training text what is left.

    Training text is what cleaning and a split left, whose blanks are single.
    """
    record = read_record(out / "text.json")
    for language in (record.source, record.target):
        encode = record.encoder(language)
        for path in sorted((out / "bpe").glob(f"*.{language}")):
            given = out / "raw" / path.name
            if given.exists() and not path.name.startswith("train"):
                assert list(map(encode, read_lines(given))) == list(read_lines(path)), path
                continue
            every = (encode(line).split() for line in read_lines(out / "raw" / f"train.{language}"))
            assert all(any(line.split() == other for other in every) for line in read_lines(path)), path


def succeeded(result: subprocess.CompletedProcess) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


def refused(result: subprocess.CompletedProcess, *said: str) -> None:
    """The script failed, said why in plain words, and showed no traceback."""
    assert result.returncode not in (0, 127), result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "error: " in result.stderr
    for words in said:
        assert words in result.stderr, result.stderr


def stub(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{body}\n")
    (folder / name).chmod(0o755)


def stub_environment(stubs: Path) -> dict[str, str]:
    return environment(PYTHON=str(stubs / "python"), PATH="/usr/bin:/bin")


def library(tmp_path: Path, body: str, **variables: object) -> subprocess.CompletedProcess:
    """Run shell code with the scripts' library loaded, as one of them."""
    settings = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
    script = tmp_path / "harness.sh"
    script.write_text(
        f"source {shlex.quote(str(ROOT))}/scripts/lib.sh\nsource {shlex.quote(str(ROOT))}/scripts/prepare_lib.sh\n"
        f"{settings}use_python\nprepare_start\n{body}\n"
    )
    return subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, env=environment(PYTHON=str(quick_python())), timeout=60
    )
