"""Every shell script is clean under shellcheck and explains itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*ROOT.glob("scripts/**/*.sh"), *ROOT.glob("examples/**/*.sh"), ROOT / ".ci" / "run"])
NAMES = [str(script.relative_to(ROOT)) for script in SCRIPTS]
# Scripts that are sourced, not run, say so in their first line.
COMMANDS = [name for name in NAMES if name != ".ci/run" and (ROOT / name).read_text().startswith("#!")]


@pytest.mark.parametrize("name", NAMES)
def test_script_is_clean(name):
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=search)
    assert shellcheck, "shellcheck is missing; run: bash scripts/setup.sh --dev"
    # following every path through a script takes as long as all else, and finds unreachable commands besides
    options = ["--extended-analysis=false"]
    # a library is looked through once, with what it needs, and not again with each script that needs it: what a script
    # takes from it or leaves for it is no error then (scripts/lib.sh has them stop at unset names, and each is run)
    options += ["--exclude=SC1091,SC2034,SC2153,SC2154,SC2164"] if name in COMMANDS else ["-x"]
    run = subprocess.run([shellcheck, *options, name], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_call(name):
    run = subprocess.run(["bash", str(ROOT / name), "--help"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert name in run.stdout
    assert "shellcheck" not in run.stdout


def test_no_script_was_overlooked():
    assert {"scripts/setup.sh", "scripts/lib.sh", "scripts/test.sh", ".ci/run"} <= set(NAMES)
    assert "scripts/setup.sh" in COMMANDS
    assert "scripts/lib.sh" not in COMMANDS
