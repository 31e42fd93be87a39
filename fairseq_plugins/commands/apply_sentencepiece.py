"""Encode text with a SentencePiece model for a given fairseq dictionary: the pieces, a line for each line.

Pieces that the dictionary does not have become <unk>, whatever their letters. For Marian models (opus-mt) MODEL is the
source.spm or target.spm and DICT the dict.txt that import-huggingface wrote. Of fairseq's output --remove-bpe
sentencepiece makes text again. Needs pip install 'fairseq_plugins[huggingface]'.

examples:
  fairseq-plugins apply-sentencepiece --model opus/source.spm --dict opus/dict.txt raw/train.de --output spm/train.de
  fairseq-plugins apply-sentencepiece --model opus/target.spm --dict opus/dict.txt a.en b.en --output spm/a.en spm/b.en
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from fairseq_plugins.dictionary import read_entries
from fairseq_plugins.lines import CorpusError
from fairseq_plugins.runtime.durable import write_whole
from fairseq_plugins.text.byte_bpe import read_lines

UNK = "<unk>"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="text, UTF-8")
    parser.add_argument("--output", nargs="+", required=True, metavar="FILE", help="one for each input")
    parser.add_argument("--model", required=True, metavar="MODEL", help="SentencePiece model")
    parser.add_argument("--dict", required=True, metavar="DICT", help="dict.txt")


def run(args: argparse.Namespace) -> int:
    """Encode file after file."""
    if len(args.output) != len(args.files):
        raise CorpusError(f"--output needs {len(args.files)} names, one for each input, but has {len(args.output)}")
    model, known = load_model(args.model), {entry.symbol for entry in read_entries(args.dict)}
    for source, target in zip(args.files, args.output):
        lines = list(encode_lines(read_lines(source), model, known))
        write_whole(target, "".join(f"{line}\n" for line in lines).encode("utf-8"))
        tokens = [token for line in lines for token in line.split()]
        counts = f"{len(lines)} lines, {len(tokens)} tokens, {tokens.count(UNK)} of them {UNK}"
        print(f"{target}: {counts}", file=sys.stderr)
    return 0


def load_model(path: str) -> Any:
    """A ``SentencePieceProcessor``.

    Raises:
        CorpusError: sentencepiece is not installed, or the file is no model of it.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise CorpusError(
            "the package sentencepiece is missing; run: pip install 'fairseq_plugins[huggingface]'"
        ) from None
    try:
        return SentencePieceProcessor(model_file=path)
    except (OSError, RuntimeError):
        raise CorpusError(f"{path}: cannot be read, or is no SentencePiece model; give another --model") from None


def encode_lines(lines: Iterable[str], model: Any, known: set[str]) -> Iterator[str]:
    """Each line's pieces, separated by blanks."""
    for line in lines:
        yield " ".join(piece if piece in known else UNK for piece in model.encode(line, out_type=str))
