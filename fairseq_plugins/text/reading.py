"""Strict reading of text in the official layouts of corpora; what cannot be used is named by file and line.

A line ends as :mod:`fairseq_plugins.lines` says. The ``codecs`` readers that the tokenisation and BPE tools use also
split at U+0085, U+2028, form feeds and others; such characters are therefore refused (or, on request, replaced by a
blank).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from fairseq_plugins.lines import CorpusError, PathLike, decode_line

#: The layouts that :func:`stream_corpus` takes; ``auto`` decides by content.
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
_FORBIDDEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


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
    with opened(path) as file:
        for line in lines_of(file, path, repair):
            blank = blank and not line.strip()
            yield line
    if blank:
        raise CorpusError(f"{path}: the file is empty; fetch it again")


def lines_of(file: Iterable[bytes], path: PathLike, repair: bool = False) -> Iterator[str]:
    """The same of what is open already, or of bytes that come line by line; ``path`` is for messages."""
    for number, line in enumerate(file, 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield _decode_line(line.removesuffix(b"\n"), path, number, repair)


@contextlib.contextmanager
def opened(path: PathLike) -> Iterator[BinaryIO]:
    """A plain or gzipped file, told apart by content; what the system says of it becomes a CorpusError."""
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
    return check_characters(decode_line(line, path, number), path, number, repair)


def check_characters(text: str, path: PathLike, number: int, repair: bool) -> str:
    """The text of a line without forbidden characters: where ``repair`` is true they become blanks.

    Raises:
        CorpusError: it has one; ``path`` and ``number``, from 1, are for the message.
    """
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
        with opened(path) as file:
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
            sentences.append(Sentence(check_characters(_resolve(segment), path, line, repair), line, talk))
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
            sentences.append(Sentence(check_characters(text, path, start, repair), start, talk))
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
