"""The wheel: what it holds, that it runs from where it was installed; which requirements are missing."""

import configparser
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

import fairseq_plugins


def run(*command, **kwargs):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """Built from a copy, as a build leaves folders where it runs; the copy is what build_wheelhouse.sh takes."""
    work = tmp_path_factory.mktemp("wheel")
    shutil.copytree(root / "fairseq_plugins", work / "fairseq_plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, work)
        assert name in (root / "scripts" / "build_wheelhouse.sh").read_text()
    run(sys.executable, "-m", "pip", "wheel", work, "--no-deps", "--no-build-isolation", "--wheel-dir", work / "out")
    (built,) = (work / "out").glob("*.whl")
    return built


def test_wheel_holds_the_package(wheel, root):
    assert wheel.name == f"fairseq_plugins-{fairseq_plugins.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
        entries = configparser.ConfigParser()
        entries.read_string(archive.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode())
    package = root / "fairseq_plugins"
    kinds = (".py", ".typed", ".jinja", ".css", ".js")
    files = {path.relative_to(root).as_posix() for path in package.rglob("*") if path.suffix in kinds}
    assert {"fairseq_plugins/py.typed", "fairseq_plugins/report/page/report.html.jinja"} <= files
    assert {name for name in names if ".dist-info/" not in name} == files
    assert any(name.endswith("/LICENSE") for name in names)
    assert "License-Expression: MIT" in metadata
    assert (root / "README.md").read_text(encoding="utf-8").strip() in metadata
    assert dict(entries["console_scripts"]) == {"fairseq-plugins": "fairseq_plugins.cli:main"}


def test_wheel_installs_and_its_command_runs(wheel, tmp_path):
    """Into a folder of its own: what is imported is the wheel's copy, not the checkout."""
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        tmp_path / "site",
        wheel,
    )
    program = tmp_path / "site" / "bin" / "fairseq-plugins"
    code = "import fairseq_plugins; print(fairseq_plugins.__file__)"
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    assert run(sys.executable, "-c", code, cwd=tmp_path, env=environment).startswith(str(tmp_path / "site"))
    assert "warm-start" in run(sys.executable, program, "--help", cwd=tmp_path, env=environment)


def test_documents_name_the_version(root):
    """Each version has its section in the changelog; what is cited is the last one."""
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\S+)\] - (\S+)$", changelog, flags=re.M)
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], str(citation["date-released"])) == released[0]
    assert released[0][0] == fairseq_plugins.__version__


def test_missing_requirements_are_found_through_extras_of_extras(root, tmp_path):
    """What ``dev`` asks for by ``plots`` and ``huggingface``, and that by ``bpe``; nothing of what nobody asked for."""
    info = tmp_path / "fairseq_plugins-0.1.0.dist-info"
    info.mkdir()
    needs = (
        "always-missing",
        "dev-missing; extra == 'dev'",
        "fairseq_plugins[plots,huggingface]; extra == 'dev'",
        "plots-missing; extra == 'plots'",
        "huggingface-missing; extra == 'huggingface'",
        "fairseq-plugins[bpe]; extra == 'huggingface'",
        "bpe-missing; extra == 'bpe'",
        "other-missing; extra == 'other'",
    )
    lines = "".join(f"Requires-Dist: {need}\n" for need in needs)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fairseq_plugins\nVersion: 0.1.0\n{lines}")

    def missing(*extra):
        environment = {"PYTHONPATH": str(tmp_path)}
        return run(sys.executable, root / "scripts" / "inspect_env.py", "missing", *extra, env=environment).split()

    assert missing() == missing("") == ["always-missing"]
    assert sorted(missing("dev")) == [
        "always-missing",
        "bpe-missing",
        "dev-missing",
        "huggingface-missing",
        "plots-missing",
    ]
