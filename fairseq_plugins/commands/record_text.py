"""Write text.json: what raw text went through to become what a model reads.

The prepare scripts for translation and for language models call it.

Names of files are relative to FOLDER, which holds them and bin/dict.LANGUAGE.txt, or bin/dict.txt. The steps are
recorded in the order of the options below, whatever the order in which they are given.

examples:
  fairseq-plugins record-text --folder data/toy-de-en --source-lang de --target-lang en \\
      --sacremoses normalize tokenize --subword-nmt bpe.codes --output data/toy-de-en/text.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_plugins.errors import UserError
from fairseq_plugins.text.byte_bpe import ENCODER, MERGES
from fairseq_plugins.text.record import ONLY_SOURCE, TextRecord
from fairseq_plugins.text.steps import (
    ByteBpe,
    KnownFile,
    Lowercase,
    Sacremoses,
    SentencePiece,
    SingleBlanks,
    Step,
    SubwordNmt,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--folder", type=Path, required=True, metavar="FOLDER", help="what a prepare script wrote")
    parser.add_argument("--source-lang", metavar="L", help="language that the model reads")
    parser.add_argument("--target-lang", metavar="L", help="language that it writes")
    parser.add_argument("--only-source", action="store_true", help="text of no pair of languages")
    parser.add_argument("--output", required=True, metavar="FILE", help="the record")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--single-blanks", action="store_true", help="white space made single blanks")
    words.add_argument("--sacremoses", nargs="+", metavar="COMMAND", help="normalize, tokenize")
    parser.add_argument("--lowercase", action="store_true", help="lower case")
    pieces = parser.add_mutually_exclusive_group(required=True)
    pieces.add_argument("--subword-nmt", metavar="CODES", help="codes of its BPE")
    pieces.add_argument(
        "--sentencepiece", nargs="+", metavar="MODEL", help="SentencePiece model, or one of each language"
    )
    pieces.add_argument("--byte-bpe", metavar="DIR", help="folder of a byte-level BPE")
    parser.add_argument("--unk", action="store_true", help="of the byte-level BPE: <unk> is a word of the text")


def run(args: argparse.Namespace) -> int:
    """Look the files up, write."""
    if args.only_source == bool(args.source_lang and args.target_lang):
        raise UserError("give --source-lang and --target-lang, or --only-source")
    source, target = (ONLY_SOURCE, ONLY_SOURCE) if args.only_source else (args.source_lang, args.target_lang)
    languages = (source, target)
    names = {language: "dict.txt" if args.only_source else f"dict.{language}.txt" for language in languages}
    dictionaries = {language: KnownFile.of(args.folder, f"bin/{name}") for language, name in names.items()}
    if args.sentencepiece and len(args.sentencepiece) > 2:
        raise UserError(f"--sentencepiece takes one model, or two, not {len(args.sentencepiece)}")
    steps = {language: _steps(args, language) for language in languages}
    TextRecord(source, target, steps, dictionaries, args.folder).write(args.output)
    return 0


def _steps(args: argparse.Namespace, language: str) -> list[Step]:
    steps: list[Step] = []
    if args.single_blanks:
        steps.append(SingleBlanks())
    if args.sacremoses:
        steps.append(Sacremoses(language, args.sacremoses))
    if args.lowercase:
        steps.append(Lowercase())
    if args.subword_nmt:
        steps.append(SubwordNmt(KnownFile.of(args.folder, args.subword_nmt)))
    elif args.byte_bpe:
        encoder, merges = (KnownFile.of(args.folder, f"{args.byte_bpe}/{name}") for name in (ENCODER, MERGES))
        steps.append(ByteBpe(encoder, merges, args.unk))
    else:
        model = args.sentencepiece[0 if language == args.source_lang else -1]
        steps.append(SentencePiece(KnownFile.of(args.folder, model)))
    return steps
