"""Parallel text: strict reading of the official layouts, checks that name file and line, and cleaning.

A line ends at ``\\n`` and nowhere else. ``str.splitlines`` and the ``codecs`` readers that the tokenisation and
BPE tools use also split at U+0085, U+2028, form feeds and others, which silently shifts one side of a corpus
against the other; such characters are therefore refused (or, on request, replaced by a blank).
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union
from xml.parsers import expat

PathLike = Union[str, Path]

#: The layouts that :func:`read_corpus` takes; ``auto`` decides by content.
LAYOUTS = ("auto", "plain", "tags", "xml")

#: Lines of ``train.tags.*`` that are not sentences. The release's README lists the first eight.
METADATA_TAGS = (
    "url|keywords|speaker|talkid|title|description|reviewer|translator"
    "|doc|transcript|refset|srcset|mteval|translators|reviewers"
)
_METADATA_LINE = re.compile(rf"\s*</?(?:{METADATA_TAGS})(?:\s[^>]*)?/?>", re.IGNORECASE)
_TALK_START = re.compile(r"\s*<url>", re.IGNORECASE)
_XML_START = re.compile(rb"\s*<(?:\?xml|mteval|srcset|refset|tstset)\b")
# Everything that some tool in the chain takes for a line end or drops: C0 and C1 controls but the tab, DEL, LS, PS.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class CorpusError(ValueError):
    """A corpus file that cannot be used: one sentence with file, line and remedy."""


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


def decode_lines(data: bytes, path: PathLike, repair: bool = False) -> List[str]:
    """Strict UTF-8 lines of ``data``, split at ``\\n`` only; ``repair`` turns forbidden characters into blanks."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [_decode_line(line, path, number, repair) for number, line in enumerate(lines, 1)]


def _decode_line(line: bytes, path: PathLike, number: int, repair: bool) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}:{number}: byte 0x{line[error.start]:02x} at column {error.start + 1} is not UTF-8; "
            "fetch the file again or convert it with iconv"
        ) from None
    return _check_characters(text, path, number, repair)


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
    """``xml``, ``tags`` or ``plain``, from the first lines."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf")
    if _XML_START.match(head):
        return "xml"
    first = next((line for line in head.decode("utf-8", "replace").split("\n") if line.strip()), "")
    return "tags" if _METADATA_LINE.match(first) else "plain"


def read_corpus(path: PathLike, layout: str = "auto", repair: bool = False) -> List[Sentence]:
    """The sentences of a corpus file.

    Args:
        path: plain or gzipped file.
        layout: ``plain`` (a sentence a line, kept as it is), ``tags`` (``train.tags.*``: bare sentence lines
            between lines of metadata, no entities) or ``xml`` (the sentences are the ``<seg>`` elements,
            entities are resolved); ``auto`` decides by content.
        repair: replace control and line-separator characters by a blank instead of refusing them.
    """
    data = read_bytes(path)
    layout = detect_layout(data) if layout == "auto" else layout
    if layout == "xml":
        sentences = _read_xml(data, path, repair)
    else:
        lines = decode_lines(data, path, repair)
        if layout == "plain":
            sentences = [Sentence(line, number) for number, line in enumerate(lines, 1)]
        elif layout == "tags":
            sentences = list(_read_tags(lines))
        else:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    if not sentences:
        raise CorpusError(f"{path}: the file holds no sentence; check that it is the right one")
    return sentences


def _read_tags(lines: Iterable[str]) -> Iterator[Sentence]:
    talk = 0
    for number, line in enumerate(lines, 1):
        if _METADATA_LINE.match(line):
            talk += _TALK_START.match(line) is not None
        else:
            yield Sentence(line.strip(), number, talk)


def _read_xml(data: bytes, path: PathLike, repair: bool) -> List[Sentence]:
    sentences: List[Sentence] = []
    pieces: Optional[List[str]] = None
    start = talk = 0
    decode_lines(data, path, repair=True)  # expat's message on broken UTF-8 is vaguer than ours
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True

    def refuse_doctype(*_: object) -> None:
        raise CorpusError(
            f"{path}:{parser.CurrentLineNumber}: a DOCTYPE is not part of this layout; fetch the official file"
        )

    def start_element(name: str, attributes: Dict[str, str]) -> None:
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
    """Raise :class:`CorpusError` unless the sides have equal counts (talk by talk) and no line is empty.

    ``empty`` says which empty lines are left to :func:`clean`: ``none``, those empty on ``both`` sides, or ``any``.
    """
    if len(source) != len(target) or any(s.talk != t.talk for s, t in zip(source, target)):
        raise CorpusError(_count_message(source, target, source_path, target_path))
    if empty == "any":
        return
    for left, right in zip(source, target):
        left_empty, right_empty = not left.text.strip(), not right.text.strip()
        if not (left_empty or right_empty) or (left_empty and right_empty and empty == "both"):
            continue
        path, line, other = (
            (source_path, left.line, target_path) if left_empty else (target_path, right.line, source_path)
        )
        raise CorpusError(
            f"{path}:{line}: the line is empty; fill it or remove it here and in {other} "
            "(--drop-empty does so in training text)"
        )


def _count_message(
    source: Sequence[Sentence], target: Sequence[Sentence], source_path: PathLike, target_path: PathLike
) -> str:
    counts = Counter(s.talk for s in source), Counter(s.talk for s in target)
    for talk in sorted(set(counts[0]) | set(counts[1])):
        if talk and counts[0][talk] != counts[1][talk]:
            first = next(s.line for s in (*source, *target) if s.talk == talk)
            return (
                f"{source_path}:{first}: talk {talk} has {counts[0][talk]} sentences here and {counts[1][talk]} in "
                f"{target_path}; the sides must be aligned line by line, so fetch both files again"
            )
    short, long = (source_path, target_path) if len(source) < len(target) else (target_path, source_path)
    rest = (target if len(source) < len(target) else source)[min(len(source), len(target))].line
    return (
        f"{source_path} has {len(source)} lines but {target_path} has {len(target)}: {short} ends where {long}:{rest} "
        "goes on; the sides must be aligned line by line, so fetch both files again"
    )


@dataclass
class CleaningReport:
    """What :func:`clean` kept, and what it dropped, why."""

    total: int = 0
    kept: int = 0
    dropped: Dict[str, int] = field(default_factory=dict)

    def lines(self) -> List[str]:
        """Readable, stable ``name: count`` lines."""
        return [f"pairs: {self.total}", *(f"dropped, {k}: {v}" for k, v in self.dropped.items()), f"kept: {self.kept}"]


def clean(
    pairs: Iterable[Tuple[str, str]],
    minimum: int = 1,
    maximum: int = 175,
    ratio: float = 1.5,
    drop_duplicates: bool = False,
) -> Tuple[List[Tuple[str, str]], CleaningReport]:
    """Drop pairs of tokenised sentences by length and length ratio, as Moses' ``clean-corpus-n`` does.

    Args:
        pairs: sentence pairs, tokens separated by blanks.
        minimum: fewest tokens of either side.
        maximum: most tokens of either side.
        ratio: a pair is dropped if one side has more than ``ratio`` times the tokens of the other.
        drop_duplicates: also drop a pair that came before.
    """
    kept: List[Tuple[str, str]] = []
    seen: Set[Tuple[str, str]] = set()
    report = CleaningReport(dropped={"empty": 0, "too short": 0, "too long": 0, "ratio": 0, "duplicate": 0})
    for source, target in pairs:
        report.total += 1
        shorter, longer = sorted((len(source.split()), len(target.split())))
        pair = (" ".join(source.split()), " ".join(target.split()))
        if shorter == 0:
            reason = "empty"
        elif shorter < minimum:
            reason = "too short"
        elif longer > maximum:
            reason = "too long"
        elif longer > ratio * shorter:
            reason = "ratio"
        elif drop_duplicates and pair in seen:
            reason = "duplicate"
        else:
            seen.add(pair)
            kept.append(pair)
            continue
        report.dropped[reason] += 1
    report.kept = len(kept)
    return kept, report


def overlap(train: Iterable[Tuple[str, str]], held_out: Iterable[Tuple[str, str]]) -> Dict[str, int]:
    """How many held-out pairs have their source, their target, or both as one pair in the training text."""
    train = list(train)
    sources, targets, both = {s for s, _ in train}, {t for _, t in train}, set(train)
    counts = {"source": 0, "target": 0, "pair": 0}
    for source, target in held_out:
        counts["source"] += source in sources
        counts["target"] += target in targets
        counts["pair"] += (source, target) in both
    return counts


def write_whole(name: PathLike, data: bytes) -> None:
    """Write a file so that it exists whole or not at all."""
    part = Path(f"{name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(name)
    except OSError as error:
        raise CorpusError(f"{name}: cannot be written ({error.strerror}); check folder and free space") from None
    finally:
        part.unlink(missing_ok=True)
