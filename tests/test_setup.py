"""Set-up: the source patch, the checks that come before anything is installed, and what each failure says."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUP = ROOT / "scripts" / "setup.sh"
WHEELHOUSE = ROOT / "scripts" / "build_wheelhouse.sh"
INSPECT = ROOT / "scripts" / "inspect_env.py"

TOOLS = (
    *("awk", "basename", "bash", "cat", "cut", "df", "dirname", "find", "flock", "grep", "ls", "mkdir", "mktemp"),
    *("mv", "paste", "rm", "sed", "sh", "tail", "tar", "tr", "uname"),
)

CONFIGS = '''
from dataclasses import dataclass
from typing import Optional

@dataclass
class FairseqDataclass:
    """fairseq base dataclass that supported fetching attributes and metas"""

    _name: Optional[str] = None

    @staticmethod
    def name():
        return None

@dataclass
class CommonConfig(FairseqDataclass):
    seed: int = 1

@dataclass
class FairseqConfig(FairseqDataclass):
    common: CommonConfig = CommonConfig()
'''

SETUP_PY = """
setup(
        install_requires=[
            "cffi",
            "cython",
            'dataclasses; python_version<"3.7"',
            "hydra-core>=1.0.7,<1.1",
            "omegaconf<2.1",
            "regex",
            "tqdm",
            "torchaudio>=0.8.0",
        ],
)
"""


def run(*command, **environment):
    env = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX", "PYTHON", "VIRTUAL_ENV")}
    env.update({name: str(value) for name, value in environment.items()})
    return subprocess.run(
        [str(word) for word in command],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def the_error(result):
    """The one sentence that a failed script ends with."""
    assert result.returncode != 0, result.stdout + result.stderr
    lines = result.stderr.splitlines()
    assert sum("error:" in line for line in lines) == 1, result.stderr
    assert "error:" in lines[-1], result.stderr
    return lines[-1].split("error: ", 1)[1]


def program(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# ---- the source patch


@pytest.fixture
def sdist(tmp_path):
    (tmp_path / "fairseq" / "dataclass").mkdir(parents=True)
    (tmp_path / "fairseq" / "dataclass" / "configs.py").write_text(CONFIGS)
    (tmp_path / "setup.py").write_text(SETUP_PY)
    return tmp_path


def patch(folder):
    return run(sys.executable, ROOT / "scripts" / "patch_fairseq.py", folder)


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_patch_makes_the_configs_importable(sdist):
    result = patch(sdist)
    assert result.returncode == 0, result.stderr
    names = {"__name__": "configs"}
    exec((sdist / "fairseq" / "dataclass" / "configs.py").read_text(), names)
    assert names["FairseqConfig"]().common.seed == 1
    # Equality stays that of a dataclass; only hashing, by identity, is new.
    one, other = names["CommonConfig"](), names["CommonConfig"]()
    assert one == other
    assert hash(one) != hash(other)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older Pythons accept unhashable defaults")
def test_unpatched_configs_are_refused():
    with pytest.raises(ValueError, match="mutable default"):
        exec(CONFIGS, {"__name__": "configs"})


def test_patch_moves_the_requirements(sdist):
    assert patch(sdist).returncode == 0
    calls = []
    exec((sdist / "setup.py").read_text(), {"setup": lambda **arguments: calls.append(arguments)})
    assert calls[0]["install_requires"] == [
        'dataclasses; python_version<"3.7"',
        "hydra-core>=1.3,<1.4",
        "omegaconf>=2.3,<2.4",
        "regex",
        "tqdm",
    ]
    assert set(content(sdist)) == {"setup.py", "fairseq/dataclass/configs.py"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("setup.py", "omegaconf<2.1", "omegaconf<2.2"),
        ("setup.py", '            "torchaudio>=0.8.0",\n', ""),
        ("setup.py", '"omegaconf<2.1",', '"omegaconf<2.1", "omegaconf<2.1",'),
        ("fairseq/dataclass/configs.py", "_name: Optional[str]", "_name: str"),
    ],
)
def test_patch_refuses_other_sources_and_leaves_them(sdist, name, old, new):
    path = sdist / name
    path.write_text(path.read_text().replace(old, new))
    before = content(sdist)
    result = patch(sdist)
    assert result.returncode != 0
    assert name in result.stderr
    assert "Traceback" not in result.stderr
    assert content(sdist) == before


@pytest.mark.parametrize("name", ["setup.py", "fairseq/dataclass/configs.py"])
def test_patch_names_the_missing_file(sdist, name):
    (sdist / name).unlink()
    before = content(sdist)
    result = patch(sdist)
    assert result.returncode != 0
    assert name in result.stderr
    assert content(sdist) == before


def test_patch_is_refused_twice(sdist):
    assert patch(sdist).returncode == 0
    before = content(sdist)
    assert patch(sdist).returncode != 0
    assert content(sdist) == before


def test_patch_that_cannot_write_changes_neither_file(sdist):
    (sdist / "setup.py.patched").mkdir()
    result = patch(sdist)
    assert result.returncode != 0
    assert (sdist / "setup.py").read_text() == SETUP_PY
    assert (sdist / "fairseq" / "dataclass" / "configs.py").read_text() == CONFIGS


# ---- setup.sh and build_wheelhouse.sh before they install anything


@pytest.mark.parametrize("script", [SETUP, WHEELHOUSE], ids=lambda script: script.name)
def test_help_names_every_option(script):
    result = run("bash", script, "--help")
    assert result.returncode == 0
    assert result.stderr == ""
    options = re.findall(r"^        (--[a-z-]+)\)", script.read_text(), flags=re.MULTILINE)
    assert len(options) >= 3
    for option in options:
        assert option in result.stdout
    assert "Examples:" in result.stdout


@pytest.mark.parametrize(
    ("script", "arguments", "word"),
    [
        (SETUP, ["--venv"], "--venv needs a value"),
        (SETUP, ["--python"], "--python needs a value"),
        (SETUP, ["--torch"], "--torch needs a value"),
        (SETUP, ["--torch", "tensorflow"], "not tensorflow"),
        (SETUP, ["--torch", "torchvision==1"], "not torchvision==1"),
        (SETUP, ["--min-free-gb", "much"], "not much"),
        (SETUP, ["--gpu"], "unknown argument: --gpu"),
        (SETUP, ["somewhere"], "unknown argument: somewhere"),
        (WHEELHOUSE, ["--out"], "--out needs a value"),
        (WHEELHOUSE, ["--wheels"], "unknown argument: --wheels"),
        (WHEELHOUSE, ["--with", "torch==2.13.0"], "holds no torch==2.13.0"),
        (WHEELHOUSE, ["--with", "nvidia-cublas"], "holds no nvidia-cublas"),
    ],
)
def test_argument_errors(script, arguments, word):
    result = run("bash", script, *arguments)
    assert result.returncode == 2
    assert word in the_error(result)


@pytest.mark.parametrize("script", [SETUP, WHEELHOUSE], ids=lambda script: script.name)
@pytest.mark.parametrize("version", ["CPython 3.8.18", "CPython 3.14.0", "CPython 2.7.18", "PyPy 3.10.14"])
def test_unsupported_python(tmp_path, script, version):
    old = program(tmp_path / "python", f"echo {version}\n")
    place = "--venv" if script == SETUP else "--out"
    message = the_error(run("bash", script, "--python", old, place, tmp_path / "new"))
    assert version in message
    assert "Python 3.9 to 3.13" in message
    assert "--python" in message
    assert not (tmp_path / "new").exists()


def test_python_that_does_not_run(tmp_path):
    message = the_error(run("bash", SETUP, "--python", tmp_path / "nothing", "--venv", tmp_path / "new"))
    assert "does not run" in message
    assert not (tmp_path / "new").exists()


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with the common tools and no compiler."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        if shutil.which(name):
            (folder / name).symlink_to(shutil.which(name))
    return folder


@pytest.mark.parametrize("script", [SETUP, WHEELHOUSE], ids=lambda script: script.name)
def test_missing_compiler(tmp_path, bare_path, script):
    place = "--venv" if script == SETUP else "--out"
    result = run("bash", script, "--python", sys.executable, place, tmp_path / "new", PATH=bare_path)
    message = the_error(result)
    assert "no working C++ compiler" in message
    assert "apt-get install g++" in message
    assert not (tmp_path / "new").exists()


def test_compiler_that_fails(tmp_path):
    result = run("bash", SETUP, "--python", sys.executable, "--venv", tmp_path / "new", CXX="false")
    assert "no working C++ compiler (tried: false)" in the_error(result)


def test_no_supported_python_on_path(bare_path):
    program(bare_path / "python3", "echo CPython 3.6.9\n")
    message = the_error(run("bash", WHEELHOUSE, "--out", bare_path / "new", PATH=bare_path))
    assert "found CPython 3.6.9" in message


def test_missing_headers(tmp_path):
    python = program(
        tmp_path / "python",
        f'case "$2" in *get_path*) echo /nowhere ;; *) exec "{sys.executable}" "$@" ;; esac\n',
    )
    message = the_error(run("bash", SETUP, "--python", python, "--venv", tmp_path / "new"))
    assert "headers of Python {}.{} are missing".format(*sys.version_info[:2]) in message
    assert "--python" in message


def test_full_disk(tmp_path):
    result = run(
        "bash", SETUP, "--python", sys.executable, "--venv", tmp_path / "a" / "new", "--min-free-gb", "99999999"
    )
    message = the_error(result)
    assert re.search(r"has \d+ GB free and this needs 99999999 GB", message)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("script", "place"), [(SETUP, "--venv"), (WHEELHOUSE, "--out")])
def test_somebody_elses_folder_is_left_alone(tmp_path, script, place):
    (tmp_path / "thesis.tex").write_text("precious")
    message = the_error(run("bash", script, "--python", sys.executable, place, tmp_path))
    assert str(tmp_path) in message
    assert content(tmp_path) == {"thesis.tex": "precious"}


def test_no_network_is_said_and_the_next_run_goes_on(tmp_path):
    offline = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_RETRIES": "0",
    }
    command = ["bash", SETUP, "--python", sys.executable, "--venv", tmp_path / "new", "--min-free-gb", "0"]
    first = run(*command, **offline)
    assert "pip cannot reach its package index for torch" in the_error(first)
    second = run(*command, **offline)
    assert "finishing an interrupted set-up" in second.stderr
    assert "making" not in second.stderr
    assert "pip cannot reach its package index for torch" in the_error(second)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk filled up"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the published file"),
        ("error: command '/usr/bin/g++' failed with exit code 1", "compiling thing failed"),
        ("NewConnectionError(...): Temporary failure in name resolution", "cannot reach its package index"),
        ("ERROR: No matching distribution found for thing==9", "no fitting version (No matching distribution"),
        ("ERROR: something new", "pip could not install thing"),
    ],
)
def test_what_a_failing_pip_leads_to(tmp_path, words, sentence):
    pip = program(tmp_path / "python", f'echo "{words}" >&2\nexit 1\n')
    source = f'source "{ROOT}/scripts/lib.sh"; source "{ROOT}/scripts/lib_install.sh"; run_pip thing "{pip}" install'
    result = run("bash", "-c", source, PIP_LOG=tmp_path / "log")
    assert result.returncode == 1
    assert sentence in result.stderr.splitlines()[-1]


# ---- an environment that exists


def test_environment_of_another_python_is_kept(tmp_path):
    (tmp_path / "env" / "bin").mkdir(parents=True)
    program(tmp_path / "env" / "bin" / "python", "echo CPython 3.9.1\n")
    before = content(tmp_path)
    message = the_error(run("bash", SETUP, "--venv", tmp_path / "env", "--python", sys.executable))
    assert "holds CPython 3.9.1, not the CPython {}.{}".format(*sys.version_info[:2]) in message
    assert content(tmp_path) == before


def test_an_installed_torch_is_never_replaced():
    result = run("bash", SETUP, "--venv", sys.prefix, "--torch", "torch==0.4.1")
    message = the_error(result)
    assert "does not fit --torch torch==0.4.1" in message


@pytest.mark.skipif(
    not Path(sys.prefix, ".fairseq_plugins-setup").is_file(), reason="this environment was not made by setup.sh"
)
def test_second_run_has_nothing_to_do():
    started = time.monotonic()
    result = run("bash", SETUP, "--venv", sys.prefix, "--dev")
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stderr
    assert re.search(r"^fairseq_plugins +\d", result.stdout, flags=re.MULTILINE)
    assert time.monotonic() - started < 60


def inspect(*arguments, python=sys.executable):
    return run(python, INSPECT, *arguments)


def test_torch_that_is_there():
    import torch

    assert inspect("torch").stdout.strip() == torch.__version__
    assert inspect("torch", "torch>=1.0").returncode == 0
    assert inspect("torch", "torch<1").returncode == 3


def test_fingerprint_tells_files_apart(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_text("xy")
    other.write_text("z")
    first = inspect("fingerprint", one, other).stdout
    assert re.fullmatch(r"[0-9a-f]{64}\n", first)
    assert inspect("fingerprint", one, other).stdout == first
    one.write_text("x")
    other.write_text("yz")
    assert inspect("fingerprint", one, other).stdout != first


def test_incomplete_packages_are_found(tmp_path):
    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    python = env / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())

    def package(name, files, record=True):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        if record:
            (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        return info

    (site / "whole.py").write_text("")
    (site / "there.py").write_text("")
    earlier = package("earlier", ["gone.py"])
    os.utime(earlier, (1, 1))
    marker = tmp_path / "marker"
    marker.write_text("")
    os.utime(marker, (1000, 1000))
    kept = [earlier, package("whole", ["whole.py", "whole.pyc"])]
    dropped = [package("torn", ["there.py", "lost.py"]), package("begun", [], record=False)]
    (site / "~old").mkdir()

    result = inspect("drop-damaged", marker, python=python)
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.split()) == ["begun-1.0", "torn-1.0"]
    assert all(info.is_dir() for info in kept)
    assert not any(info.exists() for info in dropped)
    assert not (site / "~old").exists()
    assert inspect("drop-damaged", marker, python=python).stdout == ""


# ---- test.sh


@pytest.fixture
def recorder(tmp_path):
    """A Python that notes how it is called and fails where the file `fail` says so."""
    log = tmp_path / "calls"
    text = f'[ "$1" != -m ] || echo "$@" >>"{log}"\n! grep -qxF "$2" "{tmp_path}/fail" 2>/dev/null\n'
    return program(tmp_path / "python", text), log, tmp_path / "fail"


def test_test_script_checks_first_and_passes_arguments_on(recorder):
    python, log, _ = recorder
    result = run("bash", ROOT / "scripts" / "test.sh", "tests/test_x.py", "-k", "some thing", PYTHON=python)
    assert result.returncode == 0, result.stderr
    assert log.read_text().splitlines() == [
        "-m ruff check .",
        "-m ruff format --check .",
        "-m mypy",
        f"-m pytest -n {os.cpu_count()} tests/test_x.py -k some thing",
    ]


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pytest"])
def test_test_script_fails_with_any_of_its_parts(recorder, tool):
    python, log, fail = recorder
    fail.write_text(tool + "\n")
    result = run("bash", ROOT / "scripts" / "test.sh", PYTHON=python)
    assert result.returncode != 0
    assert ("-m pytest" in log.read_text()) == (tool == "pytest")
