"""Encode text with a SentencePiece model for a given fairseq dictionary: the pieces, a line for each line.

Pieces that the dictionary does not have become <unk>, whatever their letters. For Marian models (opus-mt) MODEL is the
source.spm or target.spm and DICT the dict.txt that import-huggingface wrote. Without --dict all pieces stay as they
are, for fairseq-preprocess to make a dictionary of. Without files it reads standard input and writes standard output.
Of fairseq's output --remove-bpe sentencepiece makes text again. Needs pip install 'fairseq_plugins[huggingface]'.

examples:
  fairseq-plugins apply-sentencepiece --model opus/source.spm --dict opus/dict.txt raw/train.de --output spm/train.de
  fairseq-plugins apply-sentencepiece --model opus/target.spm --dict opus/dict.txt a.en b.en --output spm/a.en spm/b.en
  fairseq-plugins apply-sentencepiece --model spm.model < raw/train.ja > spm/train.ja
"""

from __future__ import annotations

import argparse
import sys

from fairseq_plugins.dictionary import read_entries
from fairseq_plugins.lines import CorpusError, decoded
from fairseq_plugins.runtime.durable import write_whole
from fairseq_plugins.text.byte_bpe import read_lines
from fairseq_plugins.text.sentencepiece import UNK, encode_lines, load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="text, UTF-8; default: standard input")
    parser.add_argument("--output", nargs="+", default=[], metavar="FILE", help="one for each input")
    parser.add_argument("--model", required=True, metavar="MODEL", help="SentencePiece model")
    parser.add_argument("--dict", metavar="DICT", help="dict.txt (default: every piece is known)")


def run(args: argparse.Namespace) -> int:
    """Encode file after file."""
    if len(args.output) != len(args.files):
        raise CorpusError(f"--output needs {len(args.files)} names, one for each input, but has {len(args.output)}")
    model = load_model(args.model)
    known = {entry.symbol for entry in read_entries(args.dict)} if args.dict else None
    if not args.files:
        text = (line.strip() for line in decoded(sys.stdin.buffer, "standard input"))
        sys.stdout.buffer.writelines(f"{line}\n".encode() for line in encode_lines(text, model, known))
        return 0
    for source, target in zip(args.files, args.output):
        lines = list(encode_lines(read_lines(source), model, known))
        write_whole(target, "".join(f"{line}\n" for line in lines).encode("utf-8"))
        tokens = [token for line in lines for token in line.split()]
        counts = f"{len(lines)} lines, {len(tokens)} tokens, {tokens.count(UNK)} of them {UNK}"
        print(f"{target}: {counts}", file=sys.stderr)
    return 0
