"""A tree from whatever a model writes, and a count of what had to be repaired.

Vinyals et al. (2015, section 3.2) balance malformed output by brackets at its beginning or its end. Of randomly spoiled
sequences more is left where a closing bracket too many is left out instead, and where one that is there closes the
innermost constituent whatever its label. No word is lost or made up, and no constituent is empty.
"""

from __future__ import annotations

from collections import Counter
from collections import Counter as CounterType
from collections.abc import Sequence
from typing import NamedTuple

from fairseq_plugins.errors import UserError

from .trees import TOP, Builder, Tree

#: the token of every word
WORD = "XX"

UNKNOWN = "unknown symbol"
EXTRA = "extra word"
MISSING = "missing word"
UNCLOSED = "unclosed bracket"
UNOPENED = "unopened bracket"
MISMATCHED = "mismatched bracket"
EMPTY = "empty constituent"
ROOTS = "no single root"

#: every kind of repair
KINDS = (UNKNOWN, EXTRA, MISSING, UNCLOSED, UNOPENED, MISMATCHED, EMPTY, ROOTS)


class Repaired(NamedTuple):
    """A tree over a sentence, and how often each kind of repair was needed for it (empty: never)."""

    tree: Tree
    repairs: CounterType[str]


def repair(tokens: Sequence[str], sentence: Sequence[Tree]) -> Repaired:
    """The tree that a model's tokens mean, over exactly the words of the sentence.

    - unknown symbol: neither ``XX`` nor a bracket with a label; left out.
    - extra word: an ``XX`` that the sentence has no word for; left out.
    - missing word: a word without an ``XX``; goes to the end of the root.
    - unclosed bracket: closed at the end.
    - unopened bracket: closes where none is open; left out.
    - mismatched bracket: closes with another label than the innermost open one; closes that.
    - empty constituent: has no words; left out.
    - no single root: several constituents at the top, or bare words; they stay side by side under ``TOP``.

    Args:
        tokens: what :func:`.linearise.linearise` would write, or anything else.
        sentence: the preterminals that the words are taken from, at least one.

    Raises:
        UserError: the sentence has no words.
    """
    if not sentence:
        raise UserError("a sentence without words has no tree")
    repairs: CounterType[str] = Counter()
    builder = Builder()
    used = 0

    def close() -> None:
        if not builder.end():
            repairs[EMPTY] += 1

    for token in tokens:
        bracket, label = token[:1], token[1:]
        if token == WORD:
            if used < len(sentence):
                builder.add(sentence[used])
                used += 1
            else:
                repairs[EXTRA] += 1
        elif bracket not in ("(", ")") or not label:
            repairs[UNKNOWN] += 1
        elif bracket == "(":
            builder.start(label)
        elif not builder.open:
            repairs[UNOPENED] += 1
        else:
            repairs[MISMATCHED] += label != builder.open[-1]
            close()
    while builder.open:
        repairs[UNCLOSED] += 1
        close()

    missing = tuple(sentence[used:])
    if missing:
        repairs[MISSING] += len(missing)
    roots = tuple(builder.finished)
    if len(roots) != 1 or roots[0].word:
        repairs[ROOTS] += 1
        return Repaired(Tree(TOP, roots + missing), +repairs)
    root = roots[0]._replace(children=roots[0].children + missing)
    return Repaired(root if root.label == TOP else Tree(TOP, (root,)), +repairs)
