"""Trees as sequences of tokens and back: everything of a tree, or what a model learns to write.

The second is that of Vinyals et al., "Grammar as a Foreign Language" (NeurIPS 2015, section 3.1), which Vaswani et al.
(2017, section 6.3) follow: ``(S (NP XX )NP (VP XX (NP XX XX )NP )VP XX )S``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairseq_plugins.errors import UserError

from .repair import WORD, repair
from .trees import LEAF, OPEN, TOP, TOP_LABELS, TRACE, Builder, Tree, parse, walk

# A category up to its first functional tag or index: NP of NP-SBJ-1 and of NP=2.
_CATEGORY = re.compile(r".[^-=]*")


def linearise_all(tree: Tree) -> list[str]:
    """Every label, tag and word as a token: ``(NP-SBJ (PRP it )PRP )NP-SBJ``; :func:`delinearise_all` inverts it."""
    tokens = []
    for event, node in walk(tree):
        if event == LEAF:
            tokens += [f"({node.label}", node.word, f"){node.label}"]
        else:
            tokens.append(f"({node.label}" if event == OPEN else f"){node.label}")
    return tokens


def delinearise_all(tokens: Sequence[str]) -> Tree:
    """The tree of :func:`linearise_all`'s tokens.

    Raises:
        UserError: they are not one tree.
    """
    text = " ".join(")" if token.startswith(")") else token for token in tokens)
    trees = list(parse([text], "tokens"))
    if len(trees) != 1 or linearise_all(trees[0]) != list(tokens):
        raise UserError("the tokens are not one tree; every bracket needs a closing one of its own label")
    return trees[0]


def category(label: str) -> str:
    """A constituent's label without functional tags and indices."""
    found = _CATEGORY.match(label)
    return found.group() if found else label


def simplify(tree: Tree) -> Tree | None:
    """What a model learns of a treebank's tree: constituents with their categories alone, under one ``TOP``.

    Functional tags and indices go, and so do traces (``-NONE-``) with the constituents that hold nothing else.

    Returns:
        the tree, or None if it holds nothing but traces.
    """
    builder = Builder()
    for event, node in walk(tree):
        if event == OPEN:
            builder.start(category(node.label))
        elif event != LEAF:
            builder.end()
        elif node.label != TRACE:
            builder.add(node)
    if not builder.finished:
        return None
    (root,) = builder.finished
    return Tree(TOP, root.children if root.label in TOP_LABELS and not root.word else (root,))


def linearise(tree: Tree) -> list[str]:
    """A tree of :func:`simplify` as a model's target: labelled brackets, and ``XX`` for each word.

    ``TOP`` is left out where all that stands under it is one constituent.
    """
    root = tree
    if len(tree.children) == 1 and not tree.children[0].word and tree.children[0].label != TOP:
        root = tree.children[0]
    tokens = []
    for event, node in walk(root):
        tokens.append(WORD if event == LEAF else f"({node.label}" if event == OPEN else f"){node.label}")
    return tokens


def delinearise(tokens: Sequence[str], sentence: Sequence[Tree]) -> Tree:
    """The tree of :func:`linearise`'s tokens over the preterminals of its sentence.

    Raises:
        UserError: the tokens would need :func:`.repair.repair`; the message names what is wrong.
    """
    tree, repairs = repair(tokens, sentence)
    if repairs:
        raise UserError(f"the tokens are no tree over {len(sentence)} words: {', '.join(repairs)}")
    return tree
