"""Trees as sequences and back, exactly."""

import pytest
from treebank_files import QUIRKS, read

from fairseq_plugins.parsing.linearise import category, delinearise, delinearise_all, linearise, linearise_all, simplify
from fairseq_plugins.parsing.toy import generate
from fairseq_plugins.parsing.trees import Tree, bracketed, leaves

TREES = [*generate(4, 400), *read(QUIRKS)]


def test_everything_and_back():
    for tree in TREES:
        tokens = linearise_all(tree)
        assert delinearise_all(tokens) == tree
        assert delinearise_all(" ".join(tokens).split()) == tree
    (tree,) = read("( (NP-SBJ (PRP it)))")
    assert linearise_all(tree) == ["(", "(NP-SBJ", "(PRP", "it", ")PRP", ")NP-SBJ", ")"]


@pytest.mark.parametrize(
    "tokens", ["(S (NN x )NN", "(S (NN x )NN )NP", "(S x )S (S y )S", "(S )S", "x", "", ")S", "(S (NN x )NN )S )S"]
)
def test_what_is_no_tree_is_refused(tokens):
    with pytest.raises(ValueError, match="tokens"):
        delinearise_all(tokens.split())


def test_the_sequence_of_a_model_and_back():
    for tree in filter(None, map(simplify, TREES)):
        tokens = linearise(tree)
        assert delinearise(tokens, leaves(tree)) == tree
        assert tokens.count("XX") == len(leaves(tree))
        assert not any(mark in token for token in tokens for mark in "-=")


def test_vinyals_example():
    """Figure 2 of "Grammar as a Foreign Language", with XX for the tags as its section 3.1 has it."""
    (tree,) = read("( (S (NP (NNP John)) (VP (VBZ has) (NP (DT a) (NN dog))) (. .)))")
    assert " ".join(linearise(tree)) == "(S (NP XX )NP (VP XX (NP XX XX )NP )VP XX )S"


def test_simplify_by_hand():
    first, chain, fragment, top = map(simplify, read(QUIRKS))
    assert bracketed(first) == (
        r"(TOP (S (NP (NP (NNP Mr.) (NNP S&P)) (PRN (-LRB- -LRB-) (NP (CD 1\/2) (NN %)) (-RRB- -RRB-)))"
        " (VP (VBD gave) (PRT|ADVP (RP up))) (. .)))"
    )
    assert bracketed(chain) == "(TOP (NP (NP (NP (NN oil)))))"
    assert bracketed(fragment) == "(TOP (FRAG (: --) (`` ``) ('' '')))"
    assert bracketed(top) == "(TOP (S (NNP Yes)))"


@pytest.mark.parametrize(
    ("label", "wanted"),
    [("NP", "NP"), ("NP-SBJ-1", "NP"), ("NP=2", "NP"), ("S-TPC=1", "S"), ("PRT|ADVP", "PRT|ADVP"), ("-X", "-X")],
)
def test_category(label, wanted):
    assert category(label) == wanted


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("( (S (NN x)) )", "(S XX )S"),
        ("(S (NN x))", "(S XX )S"),
        ("(S1 (S (NN x)))", "(S XX )S"),
        ("( (NN x) )", "(TOP XX )TOP"),
        ("(NN x)", "(TOP XX )TOP"),
        ("( (NP (NN x)) (. .))", "(TOP (NP XX )NP XX )TOP"),
    ],
)
def test_the_outermost_bracket(text, sequence):
    tree = simplify(read(text)[0])
    assert tree.label == "TOP"
    assert " ".join(linearise(tree)) == sequence
    assert delinearise(sequence.split(), leaves(tree)) == tree


def test_nothing_but_traces():
    assert simplify(read("( (S (NP (-NONE- *)) (VP (-NONE- *?*))))")[0]) is None


def test_a_sequence_that_needs_repair_is_refused():
    with pytest.raises(ValueError, match="no tree over 2 words: missing word"):
        delinearise(["(S", "XX", ")S"], [Tree("NN", word="x"), Tree("NN", word="y")])
