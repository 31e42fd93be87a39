"""SentencePiece: learning a model from text, and text in the pieces of one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from fairseq_plugins.lines import CorpusError, PathLike

from .byte_bpe import read_lines

UNK = "<unk>"
#: rare characters of large scripts become <unk>, as SentencePiece's documentation advises for Japanese and Chinese
COVERAGE = 0.9995


def learn(paths: Iterable[PathLike], size: int) -> bytes:
    """A unigram model of ``size`` pieces at most, learnt from all files together.

    Raises:
        CorpusError: sentencepiece is not installed, or the text has more characters than ``size``.
    """
    model = io.BytesIO()
    lines = (line for path in paths for line in read_lines(path))
    try:
        # As many threads everywhere: their number decides in which order probabilities are summed.
        _package().SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=COVERAGE,
            num_threads=16,
            minloglevel=2,
        )
    except RuntimeError as error:
        least = re.search(r"required_chars\. \d+ vs (\d+)", str(error))
        if least is None:
            raise
        raise CorpusError(
            f"{size} pieces are fewer than the characters of the text; ask for {least[1]} or more"
        ) from None
    return model.getvalue()


def load_model(path: PathLike) -> Any:
    """A ``SentencePieceProcessor``.

    Raises:
        CorpusError: sentencepiece is not installed, or the file is no model of it.
    """
    processor = _package().SentencePieceProcessor
    try:
        return processor(model_file=str(path))
    except (OSError, RuntimeError):
        raise CorpusError(f"{path}: cannot be read, or is no SentencePiece model; give another --model") from None


def encode_lines(lines: Iterable[str], model: Any, known: set[str] | None = None) -> Iterator[str]:
    """Each line's pieces, separated by blanks; ``known``: the others become ``<unk>``."""
    for line in lines:
        pieces = model.encode(line, out_type=str)
        yield " ".join(pieces if known is None else (piece if piece in known else UNK for piece in pieces))


def _package() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise CorpusError(
            "the package sentencepiece is missing; run: pip install 'fairseq_plugins[huggingface]'"
        ) from None
    return sentencepiece
