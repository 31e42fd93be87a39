"""Running ``scripts/benchmark.py`` in the tests' own process; what it measures has forks of its own."""

import sys

import pytest
from pipeline_tools import benchmark_script
from zygote import quick_python


@pytest.fixture(scope="session")
def script():
    """``scripts/benchmark.py`` as a module."""
    return benchmark_script()


@pytest.fixture
def benchmark(script, monkeypatch, capsys):
    """Run it to its end; its stdout and stderr come back as one text after checking the status."""

    def run(*arguments, status=0):
        monkeypatch.setattr(sys, "executable", str(quick_python()))
        monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, arguments), "--cpu"])
        found = script.main()
        shown = capsys.readouterr()
        assert found == status, shown.out + shown.err
        return shown.out + shown.err

    return run
