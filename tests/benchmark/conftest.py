"""Running ``scripts/benchmark.py`` in the tests' own process; what it measures has processes of its own."""

import importlib.util
import sys

import pytest


@pytest.fixture(scope="session")
def script(root):
    """``scripts/benchmark.py`` as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_script", root / "scripts/benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def benchmark(script, monkeypatch, capsys):
    """Run it to its end; its stdout and stderr come back as one text after checking the status."""

    def run(*arguments, status=0):
        monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, arguments), "--cpu"])
        found = script.main()
        shown = capsys.readouterr()
        assert found == status, shown.out + shown.err
        return shown.out + shown.err

    return run
