"""Constituency trees, and the Penn Treebank's bracketed files (``.mrg``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fairseq_plugins.lines import CorpusError, PathLike
from fairseq_plugins.text.reading import decode_lines, read_bytes

#: the label of the outermost bracket, which the treebank leaves empty
TOP = "TOP"
TOP_LABELS = frozenset(("", TOP, "ROOT", "S1"))
TRACE = "-NONE-"

OPEN, LEAF, CLOSE = "open", "leaf", "close"

_ATOM = re.compile(r"[()]|[^\s()]+")


class Tree(NamedTuple):
    """A constituent, or a preterminal: a tag over one word.

    Attributes:
        label: category with its functional tags and indices (``NP-SBJ-1``), or part-of-speech tag.
        children: of a constituent, from left to right; a preterminal has none.
        word: of a preterminal; empty for a constituent.
    """

    label: str
    children: tuple[Tree, ...] = ()
    word: str = ""


def walk(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """A tree from left to right: ``(OPEN, constituent)``, ``(LEAF, preterminal)``, ``(CLOSE, constituent)``.

    It does not recurse: a model may write a tree that is deeper than Python's stack.
    """
    pending = [(OPEN, tree)]
    while pending:
        event, node = pending.pop()
        if node.word:
            yield LEAF, node
            continue
        yield event, node
        if event == OPEN:
            pending.append((CLOSE, node))
            pending.extend((OPEN, child) for child in reversed(node.children))


class Builder:
    """Makes trees from the events that :func:`walk` yields.

    Attributes:
        finished: the trees at the top level, in order.
        open: labels of the constituents that are open, the outermost first.
    """

    def __init__(self) -> None:
        self.open: list[str] = []
        self._children: list[list[Tree]] = [[]]

    @property
    def finished(self) -> list[Tree]:
        return self._children[0]

    def start(self, label: str) -> None:
        """Open a constituent."""
        self.open.append(label)
        self._children.append([])

    def add(self, leaf: Tree) -> None:
        """Add a preterminal."""
        self._children[-1].append(leaf)

    def end(self) -> bool:
        """Close the innermost constituent; one without children is dropped, and False comes back."""
        children, label = self._children.pop(), self.open.pop()
        if children:
            self._children[-1].append(Tree(label, tuple(children)))
        return bool(children)


def leaves(tree: Tree) -> list[Tree]:
    """The preterminals, from left to right."""
    return [node for event, node in walk(tree) if event == LEAF]


def words(tree: Tree) -> list[str]:
    """The words, from left to right."""
    return [leaf.word for leaf in leaves(tree)]


def bracketed(tree: Tree) -> str:
    """A tree on one line: ``(TOP (S (NP (PRP it)) (VP (VBD rained))))``."""
    pieces = []
    for event, node in walk(tree):
        if event == LEAF:
            pieces.append(f" ({node.label} {node.word})")
        else:
            pieces.append(f" ({node.label}" if event == OPEN else ")")
    return "".join(pieces).lstrip(" ")


def read_trees(path: PathLike) -> list[Tree]:
    """The trees of a bracketed file, plain or gzipped, with white space as it comes.

    Raises:
        CorpusError: the file cannot be read, or its brackets are wrong; the message names file and line.
    """
    trees = list(parse(_lines(path), path))
    if not trees:
        raise CorpusError(f"{path}: the file holds no tree; check that it is a bracketed one (.mrg)")
    return trees


def read_tree_lines(path: PathLike) -> list[Tree]:
    """The trees of a file with one on each line, as EVALB takes them.

    Raises:
        CorpusError: as :func:`read_trees`, and where a line holds none or several.
    """
    found = []
    for number, line in enumerate(_lines(path), 1):
        trees = list(parse([line], path, number))
        if len(trees) != 1:
            raise CorpusError(f"{path}:{number}: {len(trees)} trees on this line; put one tree on each line")
        found += trees
    return found


def _lines(path: PathLike) -> list[str]:
    # repaired: a carriage return is white space like any other here
    return decode_lines(read_bytes(path), path, repair=True)


def parse(lines: Iterable[str], path: PathLike = "<text>", first: int = 1) -> Iterator[Tree]:
    """Trees from lines of text; ``path`` and ``first``, the number of the first line, are for messages.

    Raises:
        CorpusError: the brackets are wrong; the message names file and line.
    """
    open_brackets: list[_Bracket] = []
    for number, line in enumerate(lines, first):
        where = f"{path}:{number}"
        for atom in _ATOM.findall(line):
            if atom == "(":
                if open_brackets and open_brackets[-1].word:
                    raise CorpusError(f"{where}: '({open_brackets[-1].label}' holds a word and a bracket; give one")
                open_brackets.append(_Bracket(number))
            elif not open_brackets:
                raise CorpusError(f"{where}: '{atom}' stands outside of any tree; check the brackets before it")
            elif atom != ")":
                open_brackets[-1].add(atom, where)
            else:
                tree = open_brackets.pop().close(where)
                if open_brackets:
                    open_brackets[-1].children.append(tree)
                else:
                    yield tree
    if open_brackets:
        raise CorpusError(
            f"{path}:{open_brackets[0].line}: the tree that begins here has {len(open_brackets)} brackets too few at "
            "the end; close them, or get the file again"
        )


@dataclass
class _Bracket:
    line: int
    label: str | None = None
    word: str = ""
    children: list[Tree] = field(default_factory=list)

    def add(self, atom: str, where: str) -> None:
        if self.children:
            raise CorpusError(f"{where}: the word '{atom}' has no tag; write (TAG {atom})")
        if self.label is None:
            self.label = atom
        elif not self.word:
            self.word = atom
        else:
            raise CorpusError(f"{where}: '({self.label}' holds the words '{self.word}' and '{atom}'; give each its tag")

    def close(self, where: str) -> Tree:
        label = self.label or ""
        if not self.word and not self.children:
            raise CorpusError(f"{where}: '({label})' holds no word; remove it")
        return Tree(label, tuple(self.children), self.word)
