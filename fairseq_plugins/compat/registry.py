"""The table of repairs: what each is for, and whether this process needed it."""

from __future__ import annotations

import functools
import logging
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

APPLIED = "applied"
NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class Repair:
    """One repair: its name, why it exists, where it was reported, and what became of it in this process.

    ``state`` is ``"applied"``, ``"not needed"`` (the defect is not there), ``"failed: ..."`` or, before
    :func:`apply`, ``"pending"``.
    """

    name: str
    reason: str
    thread: str
    state: str = "pending"


_FUNCTIONS: dict[str, tuple[Callable[[], bool], str]] = {}
_STATES: dict[str, str] = {}


def repair(thread: str) -> Callable[[Callable[[], bool]], Callable[[], bool]]:
    """Register a repair: a function that returns whether it changed something, or had before."""

    def register(function: Callable[[], bool]) -> Callable[[], bool]:
        _FUNCTIONS[function.__name__] = (function, thread)
        return function

    return register


def apply() -> None:
    """Apply every repair that is needed; harmless when repeated.

    A repair that fails (fairseq's code moved) is logged and does not keep the others, or the plugin, from working.
    """
    for name, (function, _) in _FUNCTIONS.items():
        try:
            _STATES[name] = APPLIED if function() else NOT_NEEDED
        except Exception as error:
            _STATES[name] = f"failed: {error!r}"
            logger.warning("fairseq_plugins: the repair %s failed: %r", name, error)


def repairs() -> list[Repair]:
    """The table of repairs in the order in which they are applied."""
    table = []
    for name, (function, thread) in _FUNCTIONS.items():
        reason = " ".join((function.__doc__ or "").split("\n\n")[0].split())
        table.append(Repair(name, reason, thread, _STATES.get(name, "pending")))
    return table


def mark(function: Any, original: Any, name: str = "") -> Any:
    """Remember that a function is ours, so that a second application finds it.

    Where several repairs wrap one function, each gives its name.
    """
    function = functools.wraps(original)(function)
    function._fairseq_plugins = {*getattr(original, "_fairseq_plugins", ()), name}
    return function


def marked(function: Any, name: str = "") -> bool:
    """Whether a repair (of that name, if it gave one) has wrapped the function."""
    return name in getattr(function, "_fairseq_plugins", ())


class ModuleView(types.ModuleType):
    """A module as one other module sees it: some names replaced, all others looked up in the original."""

    def __init__(self, module: types.ModuleType, **replaced: Any):
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(replaced, _viewed=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_viewed"], name)


def see(module: Any, name: str, **replaced: Any) -> None:
    """Let one module see another, which it imported as ``name``, with some of its names replaced.

    Several repairs may each replace their own; a name that one has replaced stays as it is.
    """
    view = getattr(module, name)
    if not isinstance(view, ModuleView):
        view = ModuleView(view)
        setattr(module, name, view)
    for replacement, value in replaced.items():
        view.__dict__.setdefault(replacement, value)
