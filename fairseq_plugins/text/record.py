"""``text.json``: what raw text went through to become what a model reads, for another program to repeat it.

The ``scripts/prepare_*.sh`` for translation and for language models write one beside ``bin/``. The files that it names,
codes and dictionaries, lie in its folder and are told by their SHA-256.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import write_whole

from .steps import STEPS, Function, KnownFile, Pieces, Step, warn_of_other_versions

FORMAT = 1
#: what text of no pair of languages has in the place of both
ONLY_SOURCE = "text"


@dataclass(frozen=True)
class TextRecord:
    """What a pair of languages went through.

    Args:
        source: language that the model reads; :data:`ONLY_SOURCE` of a language model.
        target: language that it writes.
        steps: language -> its steps, in their order.
        dictionaries: language -> fairseq's ``dict.LANGUAGE.txt``, or ``dict.txt``.
        folder: where the record lies; it is not written.
    """

    source: str
    target: str
    steps: dict[str, list[Step]]
    dictionaries: dict[str, KnownFile]
    folder: Path = field(compare=False)

    @property
    def data(self) -> Path:
        """The folder of the dictionaries, which is that of ``fairseq-preprocess``."""
        return next(iter(self.dictionaries.values())).find(self.folder).parent

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

    def encoder(self, language: str | None = None) -> Function:
        """The function that makes of a raw line what the model reads; the source language by default.

        Raises:
            UserError: a file of the record is missing or another one, or a package that it needs is.
        """
        steps = self.steps[language or self.source]
        warn_of_other_versions(steps)
        return _chained([step.encoder(self.folder) for step in steps])

    def decoder(self, language: str | None = None, of_words: bool = False) -> Function:
        """The function that makes plain text of a line that a model wrote; the target language by default.

        Args:
            language: one of the two.
            of_words: the line's pieces have been put together already.

        Raises:
            UserError: as :meth:`encoder`.
        """
        steps = [step for step in self.steps[language or self.target] if not (of_words and isinstance(step, Pieces))]
        return _chained([step.decoder(self.folder) for step in reversed(steps)])

    def pieces(self, language: str) -> Pieces:
        """The step that makes pieces of a language's words."""
        return next(step for step in self.steps[language] if isinstance(step, Pieces))

    def _all_steps(self) -> list[Step]:
        return [step for steps in self.steps.values() for step in steps]


def _chained(functions: list[Function]) -> Function:
    def chained(line: str) -> str:
        for function in functions:
            line = function(line)
        return line

    return chained


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
    readers = {"str": _text, "bool": _switch, "list[str]": _words, "KnownFile": lambda value: _file(**value)}
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


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value
