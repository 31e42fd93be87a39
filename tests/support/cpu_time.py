"""What each test takes of a processor, its commands in other processes included: ``pytest -p cpu_time``.

Wall-clock times say little where several processes share two cores. Prints the tests and files that take most. The
commands of forks are told by :mod:`zygote`, others by the system.
"""

import collections
import os
import tempfile
from pathlib import Path

import pytest

VARIABLE = "TESTS_CPU_TIME"


def pytest_configure(config):
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = tempfile.mkdtemp()


def note(test, seconds):
    """Add to a test's seconds; a line is written as a whole, whoever else writes."""
    with open(Path(os.environ[VARIABLE], "seconds"), "a") as file:
        file.write(f"{seconds:.3f}\t{test}\n")


def of_this_process():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    before = of_this_process()
    yield
    note(item.nodeid, of_this_process() - before)


def pytest_terminal_summary(terminalreporter):
    tests, files = collections.Counter(), collections.Counter()
    for line in Path(os.environ[VARIABLE], "seconds").read_text().splitlines():
        seconds, test = line.split("\t", 1)
        test = test.rsplit(" (", 1)[0]
        tests[test] += float(seconds)
        files[test.partition("::")[0]] += float(seconds)
    terminalreporter.section(f"{sum(tests.values()):.0f} CPU seconds")
    for counted, number in ((files, 40), (tests, 60)):
        for name, seconds in counted.most_common(number):
            terminalreporter.write_line(f"{seconds:8.1f} s  {name}")
