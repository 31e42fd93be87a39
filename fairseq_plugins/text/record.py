"""``text.json``: what raw text went through to become what a model reads, for another program to repeat it.

Every ``scripts/prepare_*.sh`` for translation writes one beside ``bin/``. The files that it names, codes and
dictionaries, lie in its folder and are told by their SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import write_whole

from .reading import check_characters
from .steps import STEPS, KnownFile, Step, warn_of_other_versions

FORMAT = 1


@dataclass(frozen=True)
class TextRecord:
    """What a pair of languages went through.

    Args:
        source: language that the model reads.
        target: language that it writes.
        steps: language -> its steps, in their order.
        dictionaries: language -> fairseq's ``dict.LANGUAGE.txt``.
        folder: where the record lies; it is not written.
    """

    source: str
    target: str
    steps: dict[str, list[Step]]
    dictionaries: dict[str, KnownFile]
    folder: Path = field(compare=False)

    def files(self) -> list[KnownFile]:
        """All files that are named, each once."""
        of_steps = [value for step in self._all_steps() for value in vars(step).values()]
        named = [value for value in of_steps if isinstance(value, KnownFile)]
        return list(dict.fromkeys([*named, *self.dictionaries.values()]))

    def write(self, path: PathLike) -> None:
        """Write the record to a file."""
        content = {
            "format": FORMAT,
            "source": self.source,
            "target": self.target,
            "steps": {
                language: [{"tool": step.tool, **asdict(step)} for step in steps]
                for language, steps in self.steps.items()
            },
            "dictionaries": {language: asdict(file) for language, file in self.dictionaries.items()},
        }
        write_whole(path, f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode())

    def copy(self, folder: PathLike) -> None:
        """Put the record and its files into a folder, as ``text.json`` and under the names that it has for them."""
        for file in self.files():
            content = file.find(self.folder).read_bytes()
            target = Path(folder) / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
        self.write(Path(folder) / "text.json")

    def encode(
        self, lines: Iterable[str], language: str | None = None, name: PathLike = "the text", repair: bool = False
    ) -> Iterator[str]:
        """Raw lines, without their ends, as the model reads them.

        Args:
            lines: of raw text.
            language: one of the two, the source language by default.
            name: of the text, for messages.
            repair: put a blank for control and line-separator characters instead of refusing them.

        Raises:
            UserError: a file of the record is missing or another one, or a package that it needs is.
            CorpusError: at a line with a control or line-separator character.
        """
        steps = self.steps[language or self.source]
        warn_of_other_versions(steps)
        functions = [step.encoder(self.folder) for step in steps]
        for number, line in enumerate(lines, 1):
            text = check_characters(line, name, number, repair)
            for function in functions:
                text = function(text)
            yield text

    def decode(self, lines: Iterable[str], language: str | None = None) -> Iterator[str]:
        """Lines that a model wrote, in its pieces, as plain text; ``language`` is the target language by default."""
        for line in lines:
            for step in reversed(self.steps[language or self.target]):
                line = step.decode(line)
            yield line

    def _all_steps(self) -> list[Step]:
        return [step for steps in self.steps.values() for step in steps]


def read_record(path: PathLike) -> TextRecord:
    """Read a record.

    Raises:
        UserError: the file cannot be read, is no record or a damaged one, or one of a later version.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give the folder of a prepared corpus") from None
    except ValueError:
        content = None
    if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise UserError(
            f"{path}: written by a later version of fairseq_plugins; use that one, or prepare the text again"
        )
    try:
        return _record(content, path.parent)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: no record of prepared text, or a damaged one; prepare the text again") from None


def _record(content: Any, folder: Path) -> TextRecord:
    if content["format"] != FORMAT:
        raise ValueError
    languages = (_text(content["source"]), _text(content["target"]))
    return TextRecord(
        *languages,
        steps={language: [_step(**step) for step in content["steps"][language]] for language in languages},
        dictionaries={language: _file(**content["dictionaries"][language]) for language in languages},
        folder=folder,
    )


def _step(tool: str, **values: Any) -> Step:
    cls: Any = STEPS[tool]
    readers = {"str": _text, "list[str]": _words, "KnownFile": lambda value: _file(**value)}
    read = {item.name: readers[str(item.type)](values.pop(item.name)) for item in fields(cls)}
    made: Step = cls(**read, **values)  # a value that it has no field for is a TypeError
    return made


def _file(name: str, sha256: str) -> KnownFile:
    # A record that came from elsewhere must not name files outside its folder.
    path = PurePosixPath(_text(name))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError
    return KnownFile(name, _text(sha256))


def _words(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError
    return [_text(word) for word in value]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value
