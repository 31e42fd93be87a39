"""What the functions that we repair answer to every kind of call, in stock fairseq and repaired.

``contracts/SUBJECT.py`` belongs to ``fairseq_plugins/compat/SUBJECT.py``. Its ``CONTRACTS`` is a dictionary: name of
the repair -> what is tried -> a function of a scratch folder, which makes the call and returns what came of it, in
plain Python. The answer is that value or the exception; both must give the same, and where the repair's purpose is
another answer, ``Purpose(call, answer)`` says which.

No contract imports the plugin.
"""

import importlib.util
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Purpose(NamedTuple):
    """A call that the repair answers in another way than stock fairseq."""

    call: Callable[[Path], Any]
    answer: Any


class Raises(NamedTuple):
    """The answer of a call that raised: the name of the exception, and what else it is."""

    exception: str
    parents: tuple = ()


def contracts():
    """Name of a repair -> what is tried -> the call, or Purpose(call, answer)."""
    found = {}
    for path in sorted((Path(__file__).parent / "contracts").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"contracts_of_{path.stem}", path)
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # pickle looks its classes up there
        spec.loader.exec_module(module)
        found.update(module.CONTRACTS)
    return found


def answers():
    """Name of a repair -> what is tried -> what this process answers."""
    return {repair: {name: answer(call) for name, call in calls.items()} for repair, calls in contracts().items()}


def answer(call):
    call = call.call if isinstance(call, Purpose) else call
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(Path(folder))
        except (Exception, SystemExit) as error:
            name, *parents = (kind.__name__ for kind in type(error).__mro__)
            return Raises(name, tuple(parents))


def fits(expected, given):
    """Whether an answer does for another: where that is an exception, whoever catches it catches this one."""
    if isinstance(expected, Raises) and isinstance(given, Raises):
        return expected.exception in (given.exception, *given.parents)
    return expected == given


def repaired():
    """Whether this process has the plugin."""
    return "fairseq_plugins" in sys.modules


def write(path):
    """Give this process's answers to another."""
    Path(path).write_bytes(pickle.dumps(answers()))


def ask_stock(path):
    """The same, of a process that must not have the plugin."""
    write(path)
    assert not repaired()
