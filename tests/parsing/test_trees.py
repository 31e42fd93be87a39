"""Bracketed trees: reading every quirk of the Penn Treebank, and errors that say where."""

import gzip

import pytest
from treebank_files import QUIRKS, as_nltk, read

from fairseq_plugins.lines import CorpusError
from fairseq_plugins.parsing.toy import generate, layout
from fairseq_plugins.parsing.trees import (
    CLOSE,
    LEAF,
    OPEN,
    Tree,
    bracketed,
    leaves,
    read_tree_lines,
    read_trees,
    walk,
    words,
)


def test_quirks():
    first, chain, fragment, top = read(QUIRKS)
    assert [tree.label for tree in (first, chain, fragment, top)] == ["", "", "", "TOP"]
    (sentence,) = first.children
    subject, verb, stop = sentence.children
    assert (subject.label, stop) == ("NP-SBJ-1", Tree(".", word="."))
    assert [child.label for child in verb.children] == ["VBD", "NP=2", "PRT|ADVP", "SBAR"]
    assert " ".join(words(first)) == r"Mr. S&P -LRB- 1\/2 % -RRB- gave *T*-1 up 0 *?* ."
    assert chain == Tree("", (Tree("NP", (Tree("NP", (Tree("NP", (Tree("NN", word="oil"),)),)),)),))
    assert [leaf.label for leaf in leaves(fragment)] == [":", "``", "''"]


def test_walk_goes_from_left_to_right():
    (tree,) = read("(S (NP (PRP it)) (VP (VBD rained)))")
    assert [(event, node.label) for event, node in walk(tree)] == [
        (OPEN, "S"),
        (OPEN, "NP"),
        (LEAF, "PRP"),
        (CLOSE, "NP"),
        (OPEN, "VP"),
        (LEAF, "VBD"),
        (CLOSE, "VP"),
        (CLOSE, "S"),
    ]


def test_nltk_reads_the_same(tmp_path):
    from nltk import Tree

    trees = generate(2, 150)
    path = tmp_path / "toy.mrg"
    path.write_text("".join(map(layout, trees)), encoding="utf-8")
    assert read_trees(path) == trees
    assert [Tree.fromstring(layout(tree)) for tree in trees] == [as_nltk(tree) for tree in trees]


def test_one_line_and_back():
    for tree in [*generate(3, 100), *read(QUIRKS)]:
        line = bracketed(tree)
        assert "\n" not in line
        assert read(line) == [tree]
    assert bracketed(read("( (S\n (NP\n(PRP it) )))")[0]) == "( (S (NP (PRP it))))"


def test_a_tree_deeper_than_the_stack():
    line = "(S " * 5000 + "(NN x)" + ")" * 5000
    (tree,) = read(line)
    assert bracketed(tree) == line
    assert words(tree) == ["x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(S (NN x))\n(S (NN y)", "some.mrg:2: the tree that begins here has 1 brackets too few at the end"),
        ("(S\n (NN x)))", r"some.mrg:2: '\)' stands outside of any tree"),
        ("\nNN", "some.mrg:2: 'NN' stands outside of any tree"),
        ("(S\n (NP))", r"some.mrg:2: '\(NP\)' holds no word"),
        ("()", r"some.mrg:1: '\(\)' holds no word"),
        ("(S (NN two words))", r"some.mrg:1: '\(NN' holds the words 'two' and 'words'"),
        ("(S (NP (NN x)) y)", r"some.mrg:1: the word 'y' has no tag; write \(TAG y\)"),
        ("(NP x\n(NN y))", r"some.mrg:2: '\(NP' holds a word and a bracket"),
    ],
)
def test_wrong_brackets(text, message):
    with pytest.raises(CorpusError, match=message):
        read(text)


def test_files(tmp_path):
    path = tmp_path / "a.mrg.gz"
    path.write_bytes(gzip.compress(QUIRKS.encode()))
    assert read_trees(path) == read(QUIRKS)
    lines = tmp_path / "lines"
    lines.write_bytes(QUIRKS.replace("\n", "\r\n").encode())
    assert read_trees(lines) == read(QUIRKS)
    lines.write_text("(S (NN x))\n(S (NN y)) (S (NN z))\n")
    with pytest.raises(CorpusError, match="lines:2: 2 trees on this line"):
        read_tree_lines(lines)
    lines.write_text("(S (NN x))\n(S (NN y)\n")
    with pytest.raises(CorpusError, match="lines:2: the tree that begins here"):
        read_tree_lines(lines)
    with pytest.raises(CorpusError, match="none: no such file"):
        read_trees(tmp_path / "none")
    path.write_bytes(gzip.compress(QUIRKS.encode())[:-9])
    with pytest.raises(CorpusError, match="damaged"):
        read_trees(path)
