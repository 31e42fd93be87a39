"""Set-up: the source patch, the checks that come before anything is installed, and what each failure says."""

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
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
        (SETUP, ["--torch", "torch==2.5.1"], "before torch 2.6 a checkpoint could run code (CVE-2025-32434); take"),
        (SETUP, ["--torch", "torch==1.13.*"], "--torch torch==1.13.* is too old"),
        (SETUP, ["--torch", "/torch-9/torch-2.5.1+cpu-cp311-cp311-linux_x86_64.whl"], "x86_64.whl is too old"),
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
@pytest.mark.parametrize("version", ["CPython 3.9.19", "CPython 3.14.0", "CPython 2.7.18", "PyPy 3.10.14"])
def test_unsupported_python(tmp_path, script, version):
    old = program(tmp_path / "python", f"echo {version}\n")
    place = "--venv" if script == SETUP else "--out"
    message = the_error(run("bash", script, "--python", old, place, tmp_path / "new"))
    assert version in message
    assert "Python 3.10 to 3.13" in message
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


@pytest.mark.parametrize("found", [None, '#include "pyconfig.h"\n'], ids=["none", "a part of them"])
def test_missing_headers(tmp_path, found):
    if found:
        (tmp_path / "Python.h").write_text(found)
    python = program(
        tmp_path / "python",
        f'case "$2" in *get_path*) echo "{tmp_path}" ;; *) exec "{sys.executable}" "$@" ;; esac\n',
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


@pytest.fixture
def small_disk(bare_path):
    """A PATH whose df sees a folder named `full` on a disk with that many megabytes free."""

    def small(megabytes):
        said = f'printf "head\\na b c {megabytes * 1024}\\n"'
        (bare_path / "df").unlink()
        program(bare_path / "df", f'case "$2" in */full*) {said} ;; *) exec {shutil.which("df")} "$@" ;; esac\n')
        return f"{bare_path}{os.pathsep}{os.environ['PATH']}"

    return small


@pytest.mark.parametrize("script", [SETUP, WHEELHOUSE], ids=lambda script: script.name)
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("full", r"the disk of .*/full has 0 GB free and this needs 1 GB; .* set TMPDIR to a folder on another disk"),
        ("missing", r"cannot write to .*/missing, .* set TMPDIR"),
    ],
)
def test_the_folder_for_what_is_temporary(tmp_path, script, folder, words, small_disk):
    (tmp_path / "full").mkdir()
    place = "--venv" if script == SETUP else "--out"
    new = tmp_path / "new"
    result = run("bash", script, "--python", sys.executable, place, new, PATH=small_disk(900), TMPDIR=tmp_path / folder)
    assert re.search(words, the_error(result))
    assert not new.exists()


def test_a_disk_that_fills_up_between_the_steps(tmp_path, small_disk):
    """Each step of the set-up that has no words of its own for it; here the making of the environment."""
    python = program(tmp_path / "python", f'[ "$2" != venv ] || exit 1\nexec "{sys.executable}" "$@"\n')
    new = tmp_path / "full" / "new"
    result = run("bash", SETUP, "--python", python, "--venv", new, "--min-free-gb", "0", PATH=small_disk(20))
    assert the_error(result) == f"the disk of {new} is full; free some space and run the same command again"
    result = run("bash", SETUP, "--python", python, "--venv", new, "--min-free-gb", "0", PATH=small_disk(999))
    assert "cannot make environments; install its venv module" in the_error(result)


def test_a_command_that_dies_without_words(tmp_path, bare_path):
    (bare_path / "find").unlink()
    program(bare_path / "find", "exit 3\n")
    path = f"{bare_path}{os.pathsep}{os.environ['PATH']}"
    result = run("bash", SETUP, "--python", sys.executable, "--venv", tmp_path / "new", "--min-free-gb", "0", PATH=path)
    assert result.returncode == 3
    assert "a command failed that should not (status 3" in the_error(result)


def test_a_project_that_cannot_be_written_to(tmp_path, bare_path):
    (bare_path / "mktemp").unlink()
    program(bare_path / "mktemp", f'case "$*" in *"{ROOT}"*) exit 1 ;; *) exec {shutil.which("mktemp")} "$@" ;; esac\n')
    path = f"{bare_path}{os.pathsep}{os.environ['PATH']}"
    message = the_error(run("bash", SETUP, "--python", sys.executable, "--venv", tmp_path / "new", PATH=path))
    assert f"cannot write to {ROOT}" in message
    assert "copy the project" in message
    assert not (tmp_path / "new").exists()


def test_an_environment_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    message = the_error(run("bash", SETUP, "--python", sys.executable, "--venv", tmp_path / "file" / "new"))
    assert f"cannot make {tmp_path}/file/new; choose a folder you can write to with --venv" in message


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
        ("OSError: [Errno 27] File too large", "raise its limit (ulimit -f)"),
        ("error: could not create 'x.egg-info': Read-only file system", "may not write what it must for thing ('x.egg"),
        ("[Errno 13] Permission denied: '/opt/x'", "(Permission denied: '/opt/x'); make that writable"),
        ("(Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...", "set PIP_CERT"),
        ("InvalidSchema: Missing dependencies for SOCKS support.", "or is none for http"),
        (
            "WARNING: The repository located at pip.lab is not a trusted or secure host",
            "located at pip.lab); set PIP_TRU",
        ),
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


@pytest.mark.parametrize(("home", "cache"), [("home", ""), ("file/home", "1"), ("", "1")])
def test_a_home_that_cannot_be_written_to_costs_the_cache_alone(tmp_path, home, cache):
    """There a pip that root runs would fail to make wheels, and without HOME it would make a folder named ~."""
    (tmp_path / "file").write_text("")
    pip = program(tmp_path / "python", 'echo "cache:$PIP_NO_CACHE_DIR"\nexit 1\n')
    source = f'source "{ROOT}/scripts/lib.sh"; source "{ROOT}/scripts/lib_install.sh"; run_pip thing "{pip}" install'
    settings = {
        "HOME": tmp_path / home if home else "",
        "XDG_CACHE_HOME": "",
        "PIP_CACHE_DIR": "",
        "PIP_NO_CACHE_DIR": "",
    }
    result = run("bash", "-c", source, PIP_LOG=tmp_path / "log", **settings)
    assert f"cache:{cache}\n" in result.stderr


@pytest.fixture(scope="module")
def refusing():
    """The address of a server that answers everything, as a proxy and as an index, with 403."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        do_CONNECT = do_GET

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


NO_PROXY = dict.fromkeys(
    ["http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "PIP_PROXY", "no_proxy"], ""
)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"https_proxy": "http://me:secret@{}"}, "told to use (https_proxy=http://{}) answers 403 Forbidden, so thing"),
        ({"PIP_PROXY": "http://127.0.0.1:9"}, "told to use (PIP_PROXY=http://127.0.0.1:9) cannot be reached"),
        (
            {"PIP_INDEX_URL": "http://{}/simple"},
            "refuses thing (403 Client Error: Forbidden for url: http://{}/simple/",
        ),
    ],
    ids=["proxy", "no proxy there", "index"],
)
def test_what_pip_meets_on_the_way_to_its_index(tmp_path, refusing, settings, words):
    environment = {
        **NO_PROXY,
        **{"https_proxy": "", "PIP_INDEX_URL": "https://index.invalid/simple", "PIP_EXTRA_INDEX_URL": ""},
        **{"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null", "PIP_RETRIES": "0", "PIP_LOG": tmp_path / "log"},
        **{name: value.format(refusing) for name, value in settings.items()},
    }
    call = f'run_pip thing "{sys.executable}" download --no-deps thing'
    result = run(
        "bash", "-c", f'source "{ROOT}/scripts/lib.sh"; source "{ROOT}/scripts/lib_install.sh"; {call}', **environment
    )
    message = the_error(result)
    assert words.format(refusing) in message
    assert "or carry the packages over with scripts/build_wheelhouse.sh" in message
    assert "secret" not in message


def test_a_proxy_that_refuses_the_quickstarts_corpus(tmp_path, refusing):
    command = ["bash", ROOT / "scripts" / "quickstart.sh", "--data", "multi30k", "--cpu", "--smoke"]
    places = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    result = run(*command, *places, **NO_PROXY, https_proxy=f"http://me:secret@{refusing}", PYTHON=sys.executable)
    message = the_error(result)
    assert re.match(rf"cannot fetch https://\S+ \(https_proxy=http://{refusing}\): curl: .*403", message)
    assert "--from" in message


# ---- an environment that exists


def test_environment_of_another_python_is_kept(tmp_path):
    (tmp_path / "env" / "bin").mkdir(parents=True)
    program(tmp_path / "env" / "bin" / "python", "echo CPython 3.10.1\n")
    before = content(tmp_path)
    message = the_error(run("bash", SETUP, "--venv", tmp_path / "env", "--python", sys.executable))
    assert "holds CPython 3.10.1, not the CPython {}.{}".format(*sys.version_info[:2]) in message
    assert content(tmp_path) == before


def test_an_installed_torch_is_never_replaced():
    result = run("bash", SETUP, "--venv", sys.prefix, "--torch", "torch==99.0")
    message = the_error(result)
    assert "does not fit --torch torch==99.0" in message


@pytest.mark.parametrize("version", ["1.12.1", "2.5.1+cpu"])
def test_an_old_torch_is_refused_before_any_work(tmp_path, version):
    (tmp_path / "env" / "bin").mkdir(parents=True)
    says = f'case "$2" in torch) echo {version} ;; *) exec "{sys.executable}" "$@" ;; esac\n'
    python = program(tmp_path / "env" / "bin" / "python", says)
    before = content(tmp_path)
    message = the_error(run("bash", SETUP, "--venv", tmp_path / "env"))
    assert f"the torch {version} of {tmp_path}/env is too old: before torch 2.6 a checkpoint could run code" in message
    assert f"{python} -m pip install torch==2.13.0" in message
    assert "--venv" in message
    assert content(tmp_path) == {**before, "env/.fairseq_plugins-lock": ""}


@pytest.mark.parametrize("spec", ["torch==2.6.0", "torch==2.13.0", "torch>=2.6", "torch-2.10.0+cpu-cp311-linux.whl"])
def test_a_torch_from_the_floor_on_is_taken(tmp_path, spec):
    result = run("bash", SETUP, "--torch", spec, "--python", tmp_path / "nothing", "--venv", tmp_path / "new")
    assert "does not run" in the_error(result)  # the next thing that is wrong


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
        f"-m pytest -n {os.cpu_count() + 1} --dist loadfile --no-loadscope-reorder tests/test_x.py -k some thing",
    ]


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pytest"])
def test_test_script_fails_with_any_of_its_parts(recorder, tool):
    python, log, fail = recorder
    fail.write_text(tool + "\n")
    result = run("bash", ROOT / "scripts" / "test.sh", PYTHON=python)
    assert result.returncode != 0
    assert ("-m pytest" in log.read_text()) == (tool == "pytest")
