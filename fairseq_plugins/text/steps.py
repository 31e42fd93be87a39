"""What a line of raw text goes through to become what a model reads: a step a class, done in this process and undone.

A step's fields are what a record (:mod:`fairseq_plugins.text.record`) keeps of it. ``encoder(folder)`` gives the
function that does to a line what the step's command did to the files of ``scripts/prepare_*.sh``, and
``decoder(folder)`` the one that undoes it as far as it can be undone; ``folder`` is that of the record.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fairseq_plugins.errors import UserError

if TYPE_CHECKING:
    from .byte_bpe import ByteBPE

Function = Callable[[str], str]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownFile:
    """A file of a record: its name, relative to the record's folder, and its SHA-256."""

    name: str
    sha256: str

    @classmethod
    def of(cls, folder: Path, name: str) -> KnownFile:
        """A file as it is now."""
        return cls(name, _sha256(folder / name))

    def find(self, folder: Path) -> Path:
        """Where it lies.

        Raises:
            UserError: it is not there, or not the one of the record.
        """
        path = folder / self.name
        if not path.is_file():
            raise UserError(f"{path}: no such file, but the text went through it; copy it there with the record")
        if _sha256(path) != self.sha256:
            raise UserError(f"{path}: not the file that the text went through; take record and file from one folder")
        return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class NotUndone:
    """A step whose result is what comes back."""

    def decoder(self, folder: Path) -> Function:
        return str


@dataclass(frozen=True)
class SingleBlanks(NotUndone):
    """``fairseq-plugins single-blanks``."""

    tool: ClassVar[str] = "single-blanks"

    def encoder(self, folder: Path) -> Function:
        return lambda line: " ".join(line.split())


@dataclass(frozen=True)
class Lowercase(NotUndone):
    """``fairseq-plugins lowercase``."""

    tool: ClassVar[str] = "lowercase"

    def encoder(self, folder: Path) -> Function:
        return str.lower


@dataclass(frozen=True)
class Sacremoses:
    """``sacremoses -l LANGUAGE COMMAND...``."""

    tool: ClassVar[str] = "sacremoses"
    language: str
    commands: list[str]
    version: str = field(default_factory=partial(installed, "sacremoses"))

    def __post_init__(self) -> None:
        if not set(self.commands) <= {"normalize", "tokenize"}:
            raise ValueError(f"sacremoses {' '.join(self.commands)}: only normalize and tokenize are repeated here")

    def encoder(self, folder: Path) -> Function:
        try:
            from sacremoses import MosesPunctNormalizer, MosesTokenizer
        except ImportError:
            raise missing(self.tool) from None

        made: dict[str, Function] = {
            "normalize": MosesPunctNormalizer(self.language).normalize,
            "tokenize": partial(MosesTokenizer(self.language).tokenize, return_str=True),
        }

        def encode(line: str) -> str:
            line += "\n"  # its command has the line's end there, and a German quote before it comes out otherwise
            for command in self.commands:
                line = made[command](line)
            return line

        return encode

    def decoder(self, folder: Path) -> Function:
        try:
            from sacremoses import MosesDetokenizer
        except ImportError:
            raise missing(self.tool) from None

        detokenize = MosesDetokenizer(self.language).detokenize
        return lambda line: str(detokenize(line.split()))


class Pieces:
    """A step that makes pieces of words, the last one of its language."""

    #: fairseq's name for putting them together; None where they are ids
    remove_bpe: ClassVar[str | None]


@dataclass(frozen=True)
class SubwordNmt(Pieces):
    """``subword-nmt apply-bpe -c CODES``, undone as by ``fairseq-generate --remove-bpe``."""

    tool: ClassVar[str] = "subword-nmt"
    remove_bpe: ClassVar[str | None] = "subword_nmt"
    codes: KnownFile
    version: str = field(default_factory=partial(installed, "subword-nmt"))

    def encoder(self, folder: Path) -> Function:
        try:
            from subword_nmt.apply_bpe import BPE
        except ImportError:
            raise missing(self.tool) from None

        with open(self.codes.find(folder), encoding="utf-8", newline="\n") as codes:
            function: Function = BPE(codes).process_line
        return function

    def decoder(self, folder: Path) -> Function:
        return partial(joined, kind=self.remove_bpe)


@dataclass(frozen=True)
class SentencePiece(Pieces):
    """``fairseq-plugins apply-sentencepiece --model MODEL``, undone as by ``--remove-bpe sentencepiece``."""

    tool: ClassVar[str] = "sentencepiece"
    remove_bpe: ClassVar[str | None] = "sentencepiece"
    model: KnownFile
    version: str = field(default_factory=partial(installed, "sentencepiece"))

    def encoder(self, folder: Path) -> Function:
        from .sentencepiece import encode_lines, load_model

        model = load_model(self.model.find(folder))
        return lambda line: next(encode_lines([line.strip()], model))

    def decoder(self, folder: Path) -> Function:
        return partial(joined, kind=self.remove_bpe)


@dataclass(frozen=True)
class ByteBpe(Pieces):
    """``fairseq-plugins apply-byte-bpe``, undone as by fairseq's ``--bpe gpt2``."""

    tool: ClassVar[str] = "byte-bpe"
    remove_bpe: ClassVar[str | None] = None
    encoder_json: KnownFile
    vocab_bpe: KnownFile
    unk: bool

    def encoder(self, folder: Path) -> Function:
        encode = self.load(folder).encode
        return lambda line: encode(line.strip())

    def decoder(self, folder: Path) -> Function:
        return self.load(folder).decode

    def load(self, folder: Path) -> ByteBPE:
        """The BPE itself, which takes white space around a text for a part of it."""
        from .byte_bpe import ByteBPE

        encoder, merges = self.encoder_json.find(folder), self.vocab_bpe.find(folder)
        assert encoder.parent == merges.parent
        return ByteBPE(encoder.parent, self.unk)


def joined(line: str, kind: str | None) -> str:
    """A line's pieces put together as ``fairseq-generate --remove-bpe KIND`` does it.

    Those of a record need no fairseq.
    """
    if kind == "subword_nmt":
        return f"{line} ".replace("@@ ", "").rstrip()
    if kind == "sentencepiece":
        return line.replace(" ", "").replace("\u2581", " ").strip()
    try:
        from fairseq.data.data_utils import post_process
    except ImportError:
        raise missing("fairseq") from None
    return str(post_process(line, kind))


def missing(tool: str) -> UserError:
    """What to say where a step's package is not there."""
    return UserError(f"the text went through {tool}, which is not installed; run: pip install {tool}")


def word_numbers(line: str, kind: str | None) -> list[int]:
    """For each piece of a line the number, from 0, of the word that :func:`joined` makes it a part of."""
    pieces = line.split()
    words = [joined(" ".join(pieces[:end]), kind).split() for end in range(1, len(pieces) + 1)]
    return [max(len(found) - 1, 0) for found in words]


Step = SingleBlanks | Lowercase | Sacremoses | SubwordNmt | SentencePiece | ByteBpe
#: what a record calls a step -> its class
STEPS: dict[str, type[Step]] = {
    step.tool: step for step in (SingleBlanks, Lowercase, Sacremoses, SubwordNmt, SentencePiece, ByteBpe)
}


def warn_of_other_versions(steps: Iterable[Step]) -> None:
    """Say where another version of a tool is installed than the one that the text went through."""
    for step in steps:
        made = getattr(step, "version", None)
        try:
            found = installed(step.tool) if made else None
        except PackageNotFoundError:  # which the step itself will say
            continue
        if made != found:
            logger.warning(
                f"the text went through {step.tool} {made}, but {found} is installed: "
                "results may differ; install the former to be sure"
            )
