"""Options as plain dataclasses: how they are read, wherever they come from, and checked."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, Protocol, TypeVar


class Dataclass(Protocol):
    """What makes a class one for :mod:`dataclasses`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Options = TypeVar("Options", bound=Dataclass)


def read_options(cls: type[Options], given: Any) -> Options:
    """An options dataclass from whatever has its names as attributes; what is missing or None takes its default.

    Raises:
        ValueError: a value is none of the ``choices`` in a field's metadata; the message names the option.
    """
    options = cls()
    for item in fields(cls):
        value = getattr(given, item.name, None)
        if value is not None:
            setattr(options, item.name, value)
        choices = item.metadata.get("choices")
        if choices and str(getattr(options, item.name)) not in choices:
            known = ", ".join(choices)
            raise ValueError(f"--{item.name.replace('_', '-')} {getattr(options, item.name)}: choose from {known}")
    return options
