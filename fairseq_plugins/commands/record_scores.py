"""Keep the scores of a translation in one file, and print them in one line.

With --sacrebleu the file is written first: the scores that ``sacrebleu --format json`` printed, and on request BLEU on
Moses tokens and BLEU on those with compounds split, which most papers before sacreBLEU report. Their signature says
tok:none, since the tokens are made before sacreBLEU sees them. Without --sacrebleu the file is there already.
"""

from __future__ import annotations

import json
import os
import re
from argparse import ArgumentParser, Namespace
from typing import Any

from fairseq_plugins.lines import read_lines
from fairseq_plugins.runtime.durable import write_whole


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("scores", metavar="SCORE_JSON", help="the file that keeps them")
    parser.add_argument("--sacrebleu", metavar="FILE", help="what sacreBLEU printed of the two files")
    parser.add_argument("--hypotheses", metavar="FILE", help="plain text, a sentence a line")
    parser.add_argument("--reference", metavar="FILE", help="plain text, a sentence a line")
    parser.add_argument("--tokenised", metavar="L", help="add BLEU on Moses tokens of language L, as BLEU-tokenised")
    parser.add_argument("--compound-split", metavar="L", help="add it with words split at hyphens, too")


def token_bleu(name: str, texts: list[str], language: str, split: bool) -> dict[str, Any]:
    """BLEU on Moses tokens, in the shape of sacreBLEU's own JSON.

    Args:
        name: what the score is called.
        texts: the files of hypotheses and reference.
        language: that of the tokeniser.
        split: split words at hyphens, by the pattern of tensor2tensor's get_ende_bleu.sh.
    """
    from sacrebleu.metrics import BLEU
    from sacremoses import MosesTokenizer

    tokenizer = MosesTokenizer(language)
    sides = []
    for path in texts:
        sides.append([tokenizer.tokenize(line, return_str=True) for line in read_lines(path)])
        if split:
            sides[-1] = [re.sub(r"(\S)-(\S)", r"\1 ##AT##-##AT## \2", line) for line in sides[-1]]
    metric = BLEU(tokenize="none", force=True)
    score = metric.corpus_score(sides[0], [sides[1]]).score
    return {"name": name, "score": round(score, 2), "signature": str(metric.get_signature()), "tok": "none"}


def gather(args: Namespace) -> dict[str, Any]:
    """All scores of a translation, with the names of its files."""
    with open(args.sacrebleu, encoding="utf-8") as file:
        metrics = json.load(file)
    texts = [args.hypotheses, args.reference]
    if args.tokenised:
        metrics.append(token_bleu("BLEU-tokenised", texts, args.tokenised, False))
    if args.compound_split:
        metrics.append(token_bleu("BLEU-compound-split", texts, args.compound_split, True))
    with open(args.hypotheses, "rb") as file:
        sentences = sum(1 for _ in file)
    return {
        "hypotheses": os.path.abspath(args.hypotheses),
        "reference": os.path.abspath(args.reference),
        "sentences": sentences,
        "metrics": {metric["name"]: metric for metric in metrics},
    }


def run(args: Namespace) -> int:
    if args.sacrebleu:
        write_whole(args.scores, f"{json.dumps(gather(args), indent=2)}\n".encode())
    with open(args.scores, encoding="utf-8") as file:
        metrics = json.load(file)["metrics"]
    print(" | ".join(f"{name} {metric['score']:.2f} ({metric['signature']})" for name, metric in metrics.items()))
    return 0
