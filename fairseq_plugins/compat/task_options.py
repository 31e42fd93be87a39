"""Options that a task and an architecture both define."""

from __future__ import annotations

import argparse
from typing import Any

from .registry import mark, marked, repair


@repair("fairseq#4416, fairseq#3821")
def task_options() -> bool:
    """``--task denoising`` stops with "conflicting option string" for every architecture of the transformer's options.

    So do all tasks that still list their options themselves and name ``--max-source-positions`` among them. As with
    fairseq's newer tasks the architecture's option serves both; it takes the task's default where it has none.
    """
    from fairseq.tasks import TASK_REGISTRY

    changed = False
    for task in set(TASK_REGISTRY.values()):
        defined = vars(task).get("add_args")
        if isinstance(defined, (staticmethod, classmethod)):
            changed = True
            if not marked(defined.__func__):
                task.add_args = type(defined)(mark(_sharing(defined.__func__), defined.__func__))
    return changed


def _sharing(add_args: Any) -> Any:
    def sharing(*arguments: Any, **named: Any) -> Any:
        return add_args(*map(_shared, arguments), **{name: _shared(value) for name, value in named.items()})

    return sharing


def _shared(argument: Any) -> Any:
    return _SharingParser(argument) if isinstance(argument, argparse.ArgumentParser) else argument


class _SharingParser:
    """A parser that is content with an option that it has already."""

    def __init__(self, parser: Any):
        self._parser = parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def add_argument(self, *names: str, **options: Any) -> Any:
        try:
            return self._parser.add_argument(*names, **options)
        except argparse.ArgumentError:
            known = self._parser._option_string_actions
            action = next(known[name] for name in names if name in known)
            if action.default in (None, argparse.SUPPRESS) and "default" in options:
                self._parser.set_defaults(**{action.dest: options["default"]})
            return action
