"""Parallel text: strict reading of the official layouts, checks that name file and line, and cleaning.

A line ends as :mod:`.lines` says. The ``codecs`` readers that the tokenisation and BPE tools use also split at U+0085,
U+2028, form feeds and others; such characters are therefore refused (or, on request, replaced by a blank).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from .lines import CorpusError as CorpusError
from .lines import PathLike as PathLike
from .lines import decode_line
from .runtime.durable import whole

#: The layouts that :func:`read_corpus` takes; ``auto`` decides by content.
LAYOUTS = ("auto", "plain", "tags", "xml", "sgm")

#: Lines of ``train.tags.*`` that are not sentences. The release's README lists the first eight.
METADATA_TAGS = (
    "url|keywords|speaker|talkid|title|description|reviewer|translator"
    "|doc|transcript|refset|srcset|mteval|translators|reviewers"
)
_METADATA_LINE = re.compile(rf"\s*</?(?:{METADATA_TAGS})(?:\s[^>]*)?/?>", re.IGNORECASE)
_TALK_START = re.compile(r"\s*<url>", re.IGNORECASE)
_TITLE_LINE = re.compile(r"\s*<(title|description)>(.*)</\1>\s*$", re.IGNORECASE)
_XML_START = re.compile(rb"\s*<(?:\?xml|mteval)\b")
_SGM_START = re.compile(rb"\s*<(?:srcset|refset|tstset)\b", re.IGNORECASE)
_SGM_TAG = re.compile(r"<(doc|/?seg|/(?:src|ref|tst)set)\b[^>]*>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-f]{1,6}));", re.IGNORECASE)
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
# Everything that some tool in the chain takes for a line end or drops: C0 and C1 controls but the tab, DEL, LS, PS.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Sentence(NamedTuple):
    """A line of text with its origin."""

    text: str
    line: int
    #: Talk (document) number inside the file, from 1; 0 where the layout has none.
    talk: int = 0


def read_bytes(path: PathLike) -> bytes:
    """The content of a plain or gzipped file (told apart by content, not by name)."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; check the name or the folder given") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            raise CorpusError(f"{path}: the gzip file is damaged or incomplete; fetch it again") from None
    if not data.strip():
        raise CorpusError(f"{path}: the file is empty; fetch it again")
    return data


def decode_lines(data: bytes, path: PathLike, repair: bool = False) -> list[str]:
    """Strict UTF-8 lines of ``data``, split at ``\\n`` only; ``repair`` turns forbidden characters into blanks."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [_decode_line(line, path, number, repair) for number, line in enumerate(lines, 1)]


def stream_lines(path: PathLike, repair: bool = False) -> Iterator[str]:
    """The lines that :func:`decode_lines` gives, of a plain or gzipped file of any size, one at a time."""
    blank = True
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            blank = blank and not line.strip()
            yield _decode_line(line[:-1] if line.endswith(b"\n") else line, path, number, repair)
    if blank:
        raise CorpusError(f"{path}: the file is empty; fetch it again")


@contextlib.contextmanager
def _opened(path: PathLike) -> Iterator[BinaryIO]:
    compressed = False
    try:
        with open(path, "rb") as file:
            compressed = file.peek(2)[:2] == b"\x1f\x8b"
            yield io.BufferedReader(gzip.GzipFile(fileobj=file)) if compressed else file  # type: ignore[arg-type]
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; check the name or the folder given") from None
    except (OSError, EOFError, zlib.error) as error:
        if compressed:
            raise CorpusError(f"{path}: the gzip file is damaged or incomplete; fetch it again") from None
        reason = getattr(error, "strerror", error)
        raise CorpusError(f"{path}: cannot be read ({reason}); check the path and its permissions") from None


def _decode_line(line: bytes, path: PathLike, number: int, repair: bool) -> str:
    return _check_characters(decode_line(line, path, number), path, number, repair)


def _check_characters(text: str, path: PathLike, number: int, repair: bool) -> str:
    found = _FORBIDDEN.search(text)
    if found is None:
        return text
    if repair:
        return _FORBIDDEN.sub(" ", text.rstrip("\r"))
    if text.endswith("\r") and _FORBIDDEN.search(text[:-1]) is None:
        raise CorpusError(f"{path}:{number}: the line ends in CR LF; convert the file with dos2unix or pass --repair")
    raise CorpusError(
        f"{path}:{number}: control or line-separator character U+{ord(found.group()):04X} at column "
        f"{found.start() + 1}; remove it or pass --repair to put a blank there"
    )


def detect_layout(data: bytes) -> str:
    """``xml``, ``sgm``, ``tags`` or ``plain``, from the first lines."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf")
    if _XML_START.match(head):
        return "xml"
    if _SGM_START.match(head):
        return "sgm"
    first = next((line for line in head.decode("utf-8", "replace").split("\n") if line.strip()), "")
    return "tags" if _METADATA_LINE.match(first) else "plain"


def read_corpus(path: PathLike, layout: str = "auto", repair: bool = False) -> list[Sentence]:
    """All sentences of a corpus file, as :func:`stream_corpus` gives them."""
    return list(stream_corpus(path, layout, repair))


def stream_corpus(
    path: PathLike, layout: str = "auto", repair: bool = False, titles: bool = False
) -> Iterator[Sentence]:
    """The sentences of a corpus file, one at a time; only the small XML and SGM files are held in memory.

    Args:
        path: plain or gzipped file.
        layout: ``plain`` (a sentence a line, kept as it is), ``tags`` (``train.tags.*``: bare sentence lines
            between lines of metadata, no entities), ``xml`` (the sentences are the ``<seg>`` elements, entities are
            resolved) or ``sgm`` (the same in WMT's files, which are no well-formed XML: a bare ``&`` is text);
            ``auto`` decides by content.
        repair: replace control and line-separator characters by a blank instead of refusing them.
        titles: in ``tags``, the texts of titles and descriptions are sentences too.

    Raises:
        CorpusError: at the sentence that cannot be used, or at the end of a file without any.
    """
    if layout == "auto":
        with _opened(path) as file:
            layout = detect_layout(file.read(4096))
    sentences: Iterable[Sentence]
    if layout == "xml":
        sentences = _read_xml(read_bytes(path), path, repair)
    elif layout == "sgm":
        sentences = _read_sgm(read_bytes(path), path, repair)
    elif layout == "plain":
        sentences = (Sentence(line, number) for number, line in enumerate(stream_lines(path, repair), 1))
    elif layout == "tags":
        sentences = _read_tags(stream_lines(path, repair), titles)
    else:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    found = False
    for sentence in sentences:
        found = True
        yield sentence
    if not found:
        raise CorpusError(f"{path}: the file holds no sentence; check that it is the right one")


def _read_tags(lines: Iterable[str], titles: bool) -> Iterator[Sentence]:
    talk = 0
    for number, line in enumerate(lines, 1):
        title = _TITLE_LINE.match(line) if titles else None
        if title:
            yield Sentence(title[2].strip(), number, talk)
        elif _METADATA_LINE.match(line):
            talk += _TALK_START.match(line) is not None
        else:
            yield Sentence(line.strip(), number, talk)


def _read_sgm(data: bytes, path: PathLike, repair: bool) -> list[Sentence]:
    sentences: list[Sentence] = []
    text = "\n".join(decode_lines(data, path, repair))
    opened: re.Match[str] | None = None
    ended = False
    line, position, talk = 1, 0, 0
    for tag in _SGM_TAG.finditer(text):
        name = tag[1].lower()
        if name == "/seg" and opened:
            segment = " ".join(text[opened.end() : tag.start()].split("\n")).strip()
            sentences.append(Sentence(_check_characters(_resolve(segment), path, line, repair), line, talk))
            opened = None
            continue
        line, position = line + text.count("\n", position, tag.start()), tag.start()
        if name in ("seg", "/seg") and (opened or name == "/seg"):
            raise CorpusError(f"{path}:{line}: <{name}> where none may stand; fetch the official file")
        if name == "doc":
            talk += 1
        elif name == "seg":
            opened = tag
        else:
            ended = True
    if opened:
        raise CorpusError(f"{path}:{line}: this <seg> has no end: the file is cut off; fetch it again")
    if not ended:
        last = text.count("\n") + 1
        raise CorpusError(f"{path}:{last}: the file is cut off, its last tag is missing; fetch it again")
    return sentences


def _resolve(text: str) -> str:
    def character(entity: re.Match[str]) -> str:
        name, decimal, hexadecimal = entity.groups()
        if name:
            return _ENTITIES[name.lower()]
        code = int(decimal) if decimal else int(hexadecimal, 16)
        return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else entity[0]

    return _ENTITY.sub(character, text)


def _read_xml(data: bytes, path: PathLike, repair: bool) -> list[Sentence]:
    sentences: list[Sentence] = []
    pieces: list[str] | None = None
    start = talk = 0
    decode_lines(data, path, repair=True)  # expat's message on broken UTF-8 is vaguer than ours
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True

    def refuse_doctype(*_: object) -> None:
        raise CorpusError(
            f"{path}:{parser.CurrentLineNumber}: a DOCTYPE is not part of this layout; fetch the official file"
        )

    def start_element(name: str, attributes: dict[str, str]) -> None:
        nonlocal pieces, start, talk
        if name == "doc":
            talk += 1
        elif name == "seg":
            if pieces is not None:
                raise CorpusError(f"{path}:{parser.CurrentLineNumber}: <seg> inside <seg>; fetch the official file")
            pieces, start = [], parser.CurrentLineNumber

    def end_element(name: str) -> None:
        nonlocal pieces
        if name == "seg" and pieces is not None:
            # A <seg> may be wrapped over several lines; a sentence is one line.
            text = "".join(pieces).replace("\r", "\n").replace("\n", " ").strip()
            sentences.append(Sentence(_check_characters(text, path, start, repair), start, talk))
            pieces = None

    def characters(text: str) -> None:
        if pieces is not None:
            pieces.append(text)

    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = start_element
    parser.EndElementHandler = end_element
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages[error.code]
        raise CorpusError(
            f"{path}:{error.lineno}: the XML is not well-formed ({reason}); fetch the official file"
        ) from None
    return sentences


def check_parallel(
    source: Sequence[Sentence],
    target: Sequence[Sentence],
    source_path: PathLike,
    target_path: PathLike,
    empty: str = "none",
) -> None:
    """Raise :class:`CorpusError` where :func:`aligned` does."""
    for _ in aligned(source, target, source_path, target_path, empty):
        pass


def aligned(
    source: Iterable[Sentence],
    target: Iterable[Sentence],
    source_path: PathLike,
    target_path: PathLike,
    empty: str = "none",
) -> Iterator[tuple[Sentence, Sentence]]:
    """The pairs of two sides that have equal counts (talk by talk) and no empty line, one at a time.

    ``empty`` says which empty lines are left to :func:`clean`: ``none``, those empty on ``both`` sides, or ``any``.

    Raises:
        CorpusError: after the last pair if the counts differ; before that at an empty line, unless they differ.
    """
    counts: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    starts: tuple[dict[int, int], dict[int, int]] = ({}, {})
    unpaired: Sentence | None = None
    equal, problem = True, ""
    for left, right in zip_longest(source, target):
        for side, sentence in enumerate((left, right)):
            if sentence is not None:
                counts[side][sentence.talk] += 1
                starts[side].setdefault(sentence.talk, sentence.line)
        if left is None or right is None:
            unpaired, equal = unpaired or left or right, False
        elif left.talk != right.talk:
            equal = False
        elif equal and not problem:
            problem = _empty_message(left, right, source_path, target_path, empty)
            if not problem:
                yield left, right
    if not equal:
        raise CorpusError(_count_message(counts, starts, unpaired, source_path, target_path))
    if problem:
        raise CorpusError(problem)


def _empty_message(left: Sentence, right: Sentence, source_path: PathLike, target_path: PathLike, empty: str) -> str:
    left_empty, right_empty = not left.text.strip(), not right.text.strip()
    if not (left_empty or right_empty) or empty == "any" or (left_empty and right_empty and empty == "both"):
        return ""
    path, line, other = (source_path, left.line, target_path) if left_empty else (target_path, right.line, source_path)
    return (
        f"{path}:{line}: the line is empty; fill it or remove it here and in {other} "
        "(--drop-empty does so in training text)"
    )


def _count_message(
    counts: tuple[Counter[int], Counter[int]],
    starts: tuple[dict[int, int], dict[int, int]],
    unpaired: Sentence | None,
    source_path: PathLike,
    target_path: PathLike,
) -> str:
    for talk in sorted(set(counts[0]) | set(counts[1])):
        if talk and counts[0][talk] != counts[1][talk]:
            first = starts[0].get(talk) or starts[1][talk]
            return (
                f"{source_path}:{first}: talk {talk} has {counts[0][talk]} sentences here and {counts[1][talk]} in "
                f"{target_path}; the sides must be aligned line by line, so fetch both files again"
            )
    lines = [sum(count.values()) for count in counts]
    short, long = (source_path, target_path) if lines[0] < lines[1] else (target_path, source_path)
    rest = unpaired.line if unpaired else 0
    return (
        f"{source_path} has {lines[0]} lines but {target_path} has {lines[1]}: {short} ends where {long}:{rest} "
        "goes on; the sides must be aligned line by line, so fetch both files again"
    )


@dataclass
class CleaningReport:
    """What :func:`clean` kept, and what it dropped, why."""

    total: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Readable, stable ``name: count`` lines."""
        return [f"pairs: {self.total}", *(f"dropped, {k}: {v}" for k, v in self.dropped.items()), f"kept: {self.kept}"]


class HeldOut:
    """The pairs of a development or test set, and which of them turned up in the training text.

    Args:
        pairs: tokenised sentence pairs.
        drop_from: a training pair is to be dropped if one of its sides has at least so many tokens and is that side of
            a held-out pair; 0 = never. Short sentences are what everybody says.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], drop_from: int = 0):
        self.pairs = list(pairs)
        self.drop_from = drop_from
        self.sources, self.targets = {source for source, _ in self.pairs}, {target for _, target in self.pairs}
        self.seen_sources: set[str] = set()
        self.seen_targets: set[str] = set()
        self.seen_pairs: set[tuple[str, str]] = set()

    def look_for(self, source: str, target: str) -> bool:
        """Note a training pair that stands here; whether it is to be dropped."""
        found = []
        if source in self.sources:
            self.seen_sources.add(source)
            found.append(source)
        if target in self.targets:
            self.seen_targets.add(target)
            found.append(target)
        if len(found) == 2:
            self.seen_pairs.add((source, target))
        return bool(self.drop_from) and any(len(side.split()) >= self.drop_from for side in found)

    def counts(self) -> dict[str, int]:
        """How many held-out pairs had their source, their target, or both as one pair in the training text."""
        return {
            "source": sum(source in self.seen_sources for source, _ in self.pairs),
            "target": sum(target in self.seen_targets for _, target in self.pairs),
            "pair": sum(pair in self.seen_pairs for pair in self.pairs),
        }


def clean(
    pairs: Iterable[tuple[str, str]],
    minimum: int = 1,
    maximum: int = 175,
    ratio: float = 1.5,
    drop_duplicates: bool = False,
) -> tuple[list[tuple[str, str]], CleaningReport]:
    """All pairs that :func:`stream_clean` keeps, and its report."""
    report = CleaningReport()
    return list(stream_clean(pairs, report, minimum, maximum, ratio, drop_duplicates)), report


def stream_clean(
    pairs: Iterable[tuple[str, str]],
    report: CleaningReport,
    minimum: int = 1,
    maximum: int = 175,
    ratio: float = 1.5,
    drop_duplicates: bool = False,
    held_out: Sequence[HeldOut] = (),
) -> Iterator[tuple[str, str]]:
    """Drop pairs of tokenised sentences by length and length ratio, as Moses' ``clean-corpus-n`` does.

    Args:
        pairs: sentence pairs, tokens separated by blanks.
        report: is filled in on the way.
        minimum: fewest tokens of either side.
        maximum: most tokens of either side.
        ratio: a pair is dropped if one side has more than ``ratio`` times the tokens of the other.
        drop_duplicates: also drop a pair that came before, told by a 128-bit hash: about 150 bytes of memory a pair.
        held_out: sets to look for among all pairs; those that :meth:`HeldOut.look_for` says are dropped.
    """
    seen: set[bytes] = set()
    report.dropped = {"empty": 0, "too short": 0, "too long": 0, "ratio": 0, "duplicate": 0}
    if any(held.drop_from for held in held_out):
        report.dropped["in a held-out set"] = 0
    for source, target in pairs:
        report.total += 1
        leaked = [held.look_for(source, target) for held in held_out]
        sides = source.split(), target.split()
        shorter, longer = sorted(map(len, sides))
        pair = (" ".join(sides[0]), " ".join(sides[1]))
        if shorter == 0:
            reason = "empty"
        elif shorter < minimum:
            reason = "too short"
        elif longer > maximum:
            reason = "too long"
        elif longer > ratio * shorter:
            reason = "ratio"
        elif any(leaked):
            reason = "in a held-out set"
        elif drop_duplicates and _seen_before(pair, seen):
            reason = "duplicate"
        else:
            report.kept += 1
            yield pair
            continue
        report.dropped[reason] += 1


def _seen_before(pair: tuple[str, str], seen: set[bytes]) -> bool:
    key = blake2b("\n".join(pair).encode("utf-8"), digest_size=16).digest()
    known = len(seen)
    seen.add(key)
    return len(seen) == known


def overlap(train: Iterable[tuple[str, str]], held_out: Iterable[tuple[str, str]]) -> dict[str, int]:
    """How many held-out pairs have their source, their target, or both as one pair in the training text."""
    held = HeldOut(held_out)
    for source, target in train:
        held.look_for(source, target)
    return held.counts()


@contextlib.contextmanager
def whole_files(names: Sequence[PathLike]) -> Iterator[list[BinaryIO]]:
    """Open files for writing, all of which exist whole at the end or, after an error, none."""
    try:
        with whole(list(map(str, names)), f".{os.getpid()}.part") as files:
            yield files
    except OSError as error:
        listed = ", ".join(map(str, names))
        raise CorpusError(f"{listed}: cannot be written ({error.strerror}); check folder and free space") from None


def write_whole(name: PathLike, data: bytes) -> None:
    """Write a file so that it exists whole or not at all."""
    with whole_files([name]) as (file,):
        file.write(data)
