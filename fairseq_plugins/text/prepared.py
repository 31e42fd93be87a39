"""The plain text of a prepared corpus: what ``raw/`` beside ``bin/`` holds, as the model was given it."""

from __future__ import annotations

from collections import Counter
from collections import Counter as CounterType
from collections.abc import Iterator
from pathlib import Path

from fairseq_plugins.lines import PathLike, read_lines

from .record import read_record
from .steps import Function, Lowercase


def plain_lines(data: PathLike, split: str, language: str) -> Iterator[str] | None:
    """The lines of a split, in lower case where the corpus is; None where there is no such text, or no record of it.

    Training text is here as it was before it was cleaned.

    Args:
        data: the folder of ``fairseq-preprocess``, ``bin`` of a ``scripts/prepare_*.sh``.
        split: such as ``train``.
        language: of its two.

    Raises:
        UserError: the record is damaged, or the text cannot be read.
    """
    folder = Path(data).resolve().parent
    text = folder / "raw" / f"{split}.{language}"
    if not text.is_file() or not (folder / "text.json").is_file():
        return None
    lower = any(isinstance(step, Lowercase) for step in read_record(folder / "text.json").steps.get(language, []))
    return (line.lower() if lower else line for line in read_lines(text))


def word_counts(data: PathLike, language: str, tokenize: Function, split: str = "train") -> CounterType[str] | None:
    """How often the text has each word; None as in :func:`plain_lines`.

    Args:
        tokenize: makes a line one of words with blanks between them.

    Raises:
        UserError: as :func:`plain_lines`.
    """
    lines = plain_lines(data, split, language)
    if lines is None:
        return None
    counts: CounterType[str] = Counter()
    for line in lines:
        counts.update(tokenize(line.rstrip()).split())
    return counts
