"""A toy treebank from a small grammar of English, with everything that makes the Penn Treebank's trees awkward to read.

The same seed gives the same trees on every machine and Python.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from .trees import CLOSE, LEAF, Tree, bracketed, walk

# symbol: weighted expansions. A symbol LABEL/RULE has that label and expands by that rule, others by their category.
# The first expansion of a rule ends, so it is taken where a tree gets too deep.
_GRAMMAR = """
SENTENCE : 5 NP-SBJ VP . | 2 PP-TMP , NP-SBJ VP . | 1 `` S-TPC-1/CLAUSE , '' NP-SBJ VP/SAID . | 1 ADVP NP-SBJ VP .
SENTENCE : 1 S/CLAUSE CC S/CLAUSE . | 1 NP-SBJ PRN/ASIDE VP . | 1 FRAG/NOTE .
CLAUSE   : 1 NP-SBJ VP
NOTE     : 1 NP : NP
ASIDE    : 1 , S/CLAUSE ,
SAID     : 1 VBD S/SPOKEN
SPOKEN   : 1 -NONE-/*T*-1
NP       : 9 DT NN | 4 DT JJ NN | 4 PRP | 2 NP PP | 2 NNP | 1 NP/OF , NP/OF , | 1 QP NNS | 1 NP/OF SBAR/WHICH
NP       : 1 NP/OWNER NN | 1 NP CC NP | 1 NP PRN
OF       : 1 DT NN | 1 NNS
OWNER    : 1 DT NN POS
VP       : 4 VBD NP | 2 VBD | 2 VBD NP PP-LOC | 1 VBD PRT NP | 1 VBD ADVP-TMP | 1 VBD PRT|ADVP/PRT | 1 VBD S/WISH
VP       : 1 VBD SBAR | 1 VP CC VP | 1 VBD ADJP-PRD | 1 VP/GAVE CC VP/AND_GAVE
GAVE     : 1 VBD NP-1/OF PP-2
AND_GAVE : 1 NP=1/OF PP=2
WISH     : 1 NP-SBJ/WISHER VP/WISHED
WISHER   : 2 -NONE-/* | 1 -NONE-/*-1
WISHED   : 1 TO VP/INFINITIVE
INFINITIVE : 2 VB NP | 1 VB
SBAR     : 2 IN/that S/CLAUSE | 1 -NONE-/0 S/CLAUSE
WHICH    : 1 WHNP-1 S/GAP
WHNP     : 1 WDT
GAP      : 2 NP-SBJ/TRACE VP
TRACE    : 1 -NONE-/*T*-1
PP       : 1 IN NP
PRN      : 1 -LRB- NP -RRB-
PRT      : 1 RP
QP       : 1 RB CD | 1 CD TO CD
ADVP     : 3 RB | 1 RB RB
ADJP     : 2 JJ | 1 RB JJ
"""

_WORDS = {
    "DT": "the a every this",
    "NN": "dog man tree car market company board price",
    "NNS": "dogs shares houses % years",
    "NNP": "Maria Berlin Smith S&P",
    "PRP": "she he it they",
    "POS": "'s '",
    "JJ": "old small red 30-day third-quarter",
    "VBD": "saw bought slept said fell gave",
    "VB": "see buy sleep",
    "IN": "in with from of",
    "RB": "often again about n't",
    "RP": "up out",
    "TO": "to",
    "CC": "and or",
    "CD": "two 1\\/2 1.5 40",
    "WDT": "which that",
    "-LRB-": "-LRB-",
    "-RRB-": "-RRB-",
    ",": ",",
    ".": ". ?",
    ":": ": -- ;",
    "``": "``",
    "''": "''",
}
_DEEPEST = 8

_T = TypeVar("_T")


def _rules() -> dict[str, list[tuple[int, list[str]]]]:
    rules: dict[str, list[tuple[int, list[str]]]] = {}
    for line in _GRAMMAR.strip().split("\n"):
        name, _, expansions = line.partition(" : ")
        for expansion in expansions.split(" | "):
            weight, *symbols = expansion.split()
            rules.setdefault(name.strip(), []).append((int(weight), symbols))
    return rules


_RULES = _rules()


def generate(seed: int, count: int) -> list[Tree]:
    """Draw trees over different sentences; labels and traces are the treebank's, the outermost bracket has no label."""
    chance = random.Random(seed)
    seen: set[str] = set()
    trees: list[Tree] = []
    while len(trees) < count:
        tree = Tree("", (_expand("S/SENTENCE", chance, 0),))
        line = bracketed(tree)
        if line not in seen:
            seen.add(line)
            trees.append(tree)
    return trees


def _expand(symbol: str, chance: random.Random, depth: int) -> Tree:
    label, _, rule = symbol.partition("/")
    if label == "-NONE-" or (label == "IN" and rule):
        return Tree(label, word=rule)
    if label in _WORDS:
        return Tree(label, word=_weighted([(1, word) for word in _WORDS[label].split()], chance))
    rules = _RULES[rule or label.split("-")[0].split("=")[0]]
    symbols = rules[0][1] if depth >= _DEEPEST else _weighted(rules, chance)
    return Tree(label, tuple(_expand(child, chance, depth + 1) for child in symbols))


def _weighted(items: Sequence[tuple[int, _T]], chance: random.Random) -> _T:
    at = chance.random() * sum(weight for weight, _ in items)
    for weight, item in items:
        at -= weight
        if at < 0:
            return item
    return items[-1][1]


def layout(tree: Tree) -> str:
    """A tree in the manner of the treebank's files: a constituent a line, indented, blanks before closing brackets."""
    pieces: list[str] = []
    depth = 0
    for event, node in walk(tree):
        if event == LEAF:
            pieces.append(f"({node.label} {node.word}) ")
        elif event == CLOSE:
            depth -= 1
            pieces.append(")")
        else:
            pieces.append(f"\n{'  ' * depth}({node.label} ")
            depth += 1
    return "".join(pieces)
