"""Write text.json: what raw text went through to become what a model reads.

Every prepare script for translation calls it.

Names of files are relative to FOLDER, which holds them and bin/dict.LANGUAGE.txt. The steps are recorded in the order
of the options below, whatever the order in which they are given.

examples:
  fairseq-plugins record-text --folder data/toy-de-en --source-lang de --target-lang en \\
      --sacremoses normalize tokenize --subword-nmt bpe.codes --output data/toy-de-en/text.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_plugins.text.record import TextRecord
from fairseq_plugins.text.steps import KnownFile, Lowercase, Sacremoses, SentencePiece, SingleBlanks, Step, SubwordNmt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--folder", type=Path, required=True, metavar="FOLDER", help="what a prepare script wrote")
    parser.add_argument("--source-lang", required=True, metavar="L", help="language that the model reads")
    parser.add_argument("--target-lang", required=True, metavar="L", help="language that it writes")
    parser.add_argument("--output", required=True, metavar="FILE", help="the record")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--single-blanks", action="store_true", help="white space made single blanks")
    words.add_argument("--sacremoses", nargs="+", metavar="COMMAND", help="normalize, tokenize")
    parser.add_argument("--lowercase", action="store_true", help="lower case")
    pieces = parser.add_mutually_exclusive_group(required=True)
    pieces.add_argument("--subword-nmt", metavar="CODES", help="codes of its BPE")
    pieces.add_argument("--sentencepiece", metavar="MODEL", help="SentencePiece model")


def run(args: argparse.Namespace) -> int:
    """Look the files up, write."""
    languages = (args.source_lang, args.target_lang)
    dictionaries = {language: KnownFile.of(args.folder, f"bin/dict.{language}.txt") for language in languages}
    steps = {language: _steps(args, language) for language in languages}
    TextRecord(*languages, steps, dictionaries, args.folder).write(args.output)
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
    else:
        steps.append(SentencePiece(KnownFile.of(args.folder, args.sentencepiece)))
    return steps
