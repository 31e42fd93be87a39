"""What all of fairseq's programs share: where they are, and how they end."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from fairseq_plugins.left_out import EvaluationError
from fairseq_plugins.lines import CorpusError

from . import evaluation, lines
from .registry import repair

#: program -> its function that does the work
FUNCTIONS = {
    "preprocess": "main",
    "train": "main",
    "generate": "_main",
    "interactive": "main",
    "validate": "main",
    "eval_lm": "main",
}
#: program -> what is done around that function
AROUND: dict[str, Callable[..., AbstractContextManager[Any]]] = {
    "preprocess": lines.checked,
    **{name: functools.partial(evaluation.counted, name) for name in evaluation.UNITS},
}


@repair("none known")
def ends_of_programs() -> bool:
    """Text that is not UTF-8, or a sentence too long for a batch, ends in a traceback, what an evaluation leaves out
    of its data is a warning among a hundred lines, ``fairseq-eval-lm`` takes blocks of 1,024 tokens for any model, and
    ``fairseq-generate`` translates everything whatever ``--num-shards`` says.

    Here the first is one sentence and status 1, the second is counted in the last line, blocks are as long as in the
    model's training, and a shard is a share of the batches (:mod:`.shards`).
    """
    # Importing a program would set up its logging in others; it is __main__ under python -m.
    found = False
    for name, module in loaded():
        found = True
        lines.repair_program(module)
        evaluation.repair_program(module)
        main = vars(module)[FUNCTIONS[name]]
        if not isinstance(main, Program):
            setattr(module, FUNCTIONS[name], Program(name, main))
    return found


def loaded() -> list[tuple[str, ModuleType]]:
    """The programs ``fairseq_cli.NAME`` that this process has imported, or runs."""
    found = [(name, sys.modules[f"fairseq_cli.{name}"]) for name in FUNCTIONS if f"fairseq_cli.{name}" in sys.modules]
    running = sys.modules["__main__"]
    package, _, program = getattr(getattr(running, "__spec__", None), "name", "").rpartition(".")
    if package == "fairseq_cli" and program in FUNCTIONS:
        found.append((program, running))
    return found


class Program:
    """A program's main function, before whose end is said what :mod:`.evaluation` counted.

    fairseq sends it to the processes that it spawns, one a GPU: these import the program and this package for it.
    """

    def __init__(self, name: str, main: Callable[..., Any]):
        functools.update_wrapper(self, main)
        self.name, self.main = name, main

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            given = inspect.signature(self.main).bind(*args, **kwargs).arguments
            with AROUND[self.name](**given) if self.name in AROUND else contextlib.nullcontext():
                return self.main(*args, **kwargs)
        except (CorpusError, EvaluationError) as error:
            sys.exit(f"fairseq-{self.name.replace('_', '-')}: error: {error}")

    def __reduce__(self) -> Any:
        return _imported, (self.name,)


def _imported(name: str) -> Any:
    module = importlib.import_module(f"fairseq_cli.{name}")
    ends_of_programs()
    return getattr(module, FUNCTIONS[name])
