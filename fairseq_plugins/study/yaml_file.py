"""A YAML file whose every entry knows its line, so that what is wrong with it can be said by file and line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fairseq_plugins.errors import UserError

#: YAML's kinds that a study file has a use for
KINDS = ("str", "int", "float", "bool", "null", "seq", "map")


@dataclass(frozen=True)
class Entry:
    """A value and where it stands.

    Attributes:
        place: ``study.yaml:12``.
        name: of the value, in messages.
    """

    node: yaml.Node
    place: str
    name: str

    def error(self, text: str) -> UserError:
        """``study.yaml:12: NAME text``."""
        return UserError(f"{self.place}: {self.name} {text}")

    def value(self) -> Any:
        """What YAML makes of it: text, number, list, mapping ..."""
        # a rate such as 1e-4 is text for YAML 1.1, which wants 1.0e-4
        found = yaml.SafeLoader("").construct_object(self.node, deep=True)  # type: ignore[no-untyped-call]
        return _number(found)

    def text(self) -> str:
        """A single word or line.

        Raises:
            UserError: it is something else.
        """
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag.endswith(":null"):
            raise self.error("is to be text")
        return str(self.node.value)

    def is_mapping(self) -> bool:
        """Whether it has entries of its own."""
        return isinstance(self.node, yaml.MappingNode)

    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag.endswith(":null")

    def items(self) -> list[Entry]:
        """Its elements; of a single value that alone."""
        if not isinstance(self.node, yaml.SequenceNode):
            return [self]
        return [self._below(child, self.name) for child in self.node.value]

    def table(self) -> dict[str, Entry]:
        """Its entries by name.

        Raises:
            UserError: it is no mapping, or a name stands twice.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("is to be a mapping, 'key: value' lines below it")
        found: dict[str, Entry] = {}
        for key, child in self.node.value:
            name = str(key.value)
            entry = Entry(child, self._at(key), name)
            if name in found:
                raise UserError(f"{entry.place}: {name} stands there twice (also {found[name].place})")
            found[name] = entry
        return found

    def known(self, names: Collection[str]) -> dict[str, Entry]:
        """:meth:`table`, whose names are all among ``names``.

        Raises:
            UserError: one is not; the message says which is meant perhaps.
        """
        found = self.table()
        for name, entry in found.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
                raise UserError(f"{entry.place}: unknown key {name}; {meant}")
        return found

    def _below(self, node: yaml.Node, name: str) -> Entry:
        return Entry(node, self._at(node), name)

    def _at(self, node: yaml.Node) -> str:
        return f"{self.place.rpartition(':')[0]}:{node.start_mark.line + 1}"


def read(path: Path) -> Entry:
    """The file as one entry.

    Raises:
        UserError: it is not there or no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
    except FileNotFoundError:
        raise UserError(f"no file {path}; examples/toy/study.yaml is one to begin with") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text in UTF-8") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}{_mark(error)}: no YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}:1: a study is 'key: value' lines: recipe, variants, seeds ...")
    for found in _nodes(node):
        if found.tag.removeprefix("tag:yaml.org,2002:") not in KINDS:
            line, kind = found.start_mark.line + 1, found.tag.rpartition(":")[2]
            raise UserError(f"{path}:{line}: text, numbers, lists and mappings alone, not {kind}")
    return Entry(node, f"{path}:1", path.name)


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, str) and value[:1].isdigit():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _mark(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    for child in node.value if isinstance(node.value, list) else []:
        for part in child if isinstance(child, tuple) else (child,):
            yield from _nodes(part)
