"""Labelled bracketing F1 of a parser's output, by EVALB's conventions with the parameters of COLLINS.prm.

GOLD holds gold trees, one a line. HYPOTHESES holds what the model wrote for each: labelled brackets, and XX for each
word. Where these are no tree over the words of the sentence they are repaired, and the repairs counted by kind. With
--bracketed it holds trees with words and tags instead, as any other parser writes them.

examples:
  fairseq-plugins parse-score data/treebank/raw/test.trees runs/baseline-seed1/gen.test/hyp.tok --trees test.parsed
  fairseq-plugins parse-score test.trees test.parsed --bracketed --json score.json
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from fairseq_plugins.parsing.score import describe, score_sequences, score_trees
from fairseq_plugins.parsing.trees import bracketed
from fairseq_plugins.runtime.durable import write_whole


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("gold", metavar="GOLD", help="gold trees, one a line")
    parser.add_argument("hypotheses", metavar="HYPOTHESES", help="the model's sequences, one a line")
    parser.add_argument("--bracketed", action="store_true", help="HYPOTHESES are bracketed trees")
    parser.add_argument("--trees", metavar="FILE", help="write the trees that were scored, one a line, for EVALB")
    parser.add_argument("--json", metavar="FILE", help="write the score with all that EVALB prints")


def run(args: Namespace) -> int:
    score, trees = (score_trees if args.bracketed else score_sequences)(args.gold, args.hypotheses)
    if args.trees:
        write_whole(args.trees, "".join(f"{bracketed(tree)}\n" for tree in trees).encode())
    if args.json:
        write_whole(args.json, f"{json.dumps(score, indent=2)}\n".encode())
    print(describe(score))
    return 0
