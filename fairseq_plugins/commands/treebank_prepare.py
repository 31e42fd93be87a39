"""Trees of the Penn Treebank as text for a parser that translates sentences into brackets.

SOURCE is a bracketed file (.mrg, plain or .gz), or a folder of them. A folder with articles wsj_0200.mrg and later is
split by section: 02-21 train, 22 valid, 23 test. Anything else is a sample: its last trees are valid and test.

Writes, for each split, one line a sentence: SPLIT.trees (the gold trees, as EVALB takes them), SPLIT.words and
SPLIT.brackets (what the model learns to write: labelled brackets, XX for each word). Functional tags, indices, traces
and constituents without words are left out.

examples:
  fairseq-plugins treebank-prepare wsj_0001-0199.mrg --out raw
  fairseq-plugins treebank-prepare ~/treebank_3/parsed/mrg/wsj --out raw
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from fairseq_plugins.lines import CorpusError
from fairseq_plugins.parsing.linearise import linearise
from fairseq_plugins.parsing.treebank import read_treebank
from fairseq_plugins.parsing.trees import bracketed, words
from fairseq_plugins.runtime.durable import write_whole

SMOKE_TREES = {"train": 200, "valid": 30, "test": 30}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="bracketed file, or folder of them")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for {train,valid,test}.{trees,words,brackets}"
    )
    parser.add_argument("--valid", type=int, default=400, metavar="N", help="trees of a sample (default: 400)")
    parser.add_argument("--test", type=int, default=400, metavar="N", help="trees of a sample (default: 400)")
    parser.add_argument("--smoke", action="store_true", help="only the first 200, 30 and 30 trees of up to 40 words")


def run(args: Namespace) -> int:
    treebank = read_treebank(args.source, args.valid, args.test)
    folder = Path(args.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"{error.filename}: {error.strerror}; choose another --out") from None
    for split, trees in treebank.trees.items():
        if args.smoke:
            trees = [tree for tree in trees if len(words(tree)) <= 40][: SMOKE_TREES[split]]
        lines = {
            "trees": [bracketed(tree) for tree in trees],
            "words": [" ".join(words(tree)) for tree in trees],
            "brackets": [" ".join(linearise(tree)) for tree in trees],
        }
        for kind, text in lines.items():
            write_whole(folder / f"{split}.{kind}", "".join(f"{line}\n" for line in text).encode())
        counts = [sum(len(line.split()) for line in lines[kind]) for kind in ("words", "brackets")]
        print(
            f"{split}: {len(trees):,} trees ({treebank.origin[split]}), {counts[0]:,} words, {counts[1]:,} target "
            "tokens",
            file=sys.stderr,
        )
    return 0
