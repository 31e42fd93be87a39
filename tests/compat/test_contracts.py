"""Every repair accepts, returns and raises what stock fairseq does, but for the defect (see answers.py)."""

import os
import pickle
import subprocess
import traceback
from pathlib import Path

import answers
import pytest
from running import ended
from zygote import quick_python

from fairseq_plugins import compat

CONTRACTS = answers.contracts()


def test_every_repair_has_its_table():
    """A new repair in compat/SUBJECT.py comes with contracts/SUBJECT.py, and a table has its repair."""
    assert sorted(CONTRACTS) == sorted(repair.name for repair in compat.repairs())
    for repair, calls in CONTRACTS.items():
        kinds = [isinstance(call, answers.Purpose) for call in calls.values()]
        assert not all(kinds), f"{repair}: nothing of what the original accepts"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What stock fairseq answers, in a process of its own, and meanwhile what a fork of this one does."""
    stock, ours = (tmp_path_factory.mktemp("answers") / name for name in ("stock", "ours"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ask = [quick_python(), "-c", "import sys, answers; answers.ask_stock(sys.argv[1])", stock]
    other = subprocess.Popen(ask, cwd=Path(answers.__file__).parent, env=environment, stderr=subprocess.PIPE)
    child = os.fork()
    if child == 0:
        try:
            answers.write(ours)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    _, errors = other.communicate()
    assert other.returncode == 0, errors.decode()
    ended(child)
    return [pickle.loads(Path(path).read_bytes()) for path in (stock, ours)]


@pytest.mark.parametrize("repair", CONTRACTS)
def test_a_repair_answers_as_stock_does(repair, given):
    stock, ours = (answers_of[repair] for answers_of in given)
    wrong = {}
    for name, call in CONTRACTS[repair].items():
        expected = call.answer if isinstance(call, answers.Purpose) else stock[name]
        if not answers.fits(expected, ours[name]):
            wrong[name] = {"ours": ours[name], "expected": expected}
    assert not wrong
    assert not all(isinstance(answer, answers.Raises) for answer in ours.values()), "nothing but wrong calls"
