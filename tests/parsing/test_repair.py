"""Whatever a model writes becomes a tree over exactly the words of the sentence."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_plugins.parsing import repair as kinds
from fairseq_plugins.parsing.evalb import count
from fairseq_plugins.parsing.linearise import linearise, simplify
from fairseq_plugins.parsing.repair import KINDS, repair
from fairseq_plugins.parsing.toy import generate
from fairseq_plugins.parsing.trees import CLOSE, LEAF, Tree, bracketed, leaves, walk

SENTENCE = [Tree("DT", word="a"), Tree("NN", word="b"), Tree("VB", word="c")]


def shape(tree):
    """``(TOP (S a b) c)``, without tags."""
    return bracketed(tree).replace("(DT a)", "a").replace("(NN b)", "b").replace("(VB c)", "c")


@pytest.mark.parametrize(
    ("tokens", "wanted", "repairs"),
    [
        ("(S (NP XX XX )NP XX )S", "(TOP (S (NP a b) c))", {}),
        ("(S (NP XX XX )NP XX", "(TOP (S (NP a b) c))", {kinds.UNCLOSED: 1}),
        ("(S (NP XX XX (VP XX )S", "(TOP (S (NP a b (VP c))))", {kinds.UNCLOSED: 2, kinds.MISMATCHED: 1}),
        ("(S (NP XX XX )VP XX )S", "(TOP (S (NP a b) c))", {kinds.MISMATCHED: 1}),
        ("(S XX XX XX )S )S )NP", "(TOP (S a b c))", {kinds.UNOPENED: 2}),
        (")S (S XX XX XX )S", "(TOP (S a b c))", {kinds.UNOPENED: 1}),
        ("(S XX XX XX XX XX )S", "(TOP (S a b c))", {kinds.EXTRA: 2}),
        ("(S (NP XX )NP )S", "(TOP (S (NP a) b c))", {kinds.MISSING: 2}),
        ("(S XX XX (NP )NP XX )S", "(TOP (S a b c))", {kinds.EMPTY: 1}),
        ("(S XX XX (NP (QP )QP )NP XX )S", "(TOP (S a b c))", {kinds.EMPTY: 2}),
        ("(S XX XX XX (NP XX )NP )S", "(TOP (S a b c))", {kinds.EXTRA: 1, kinds.EMPTY: 1}),
        ("(NP XX XX )NP (VP XX )VP", "(TOP (NP a b) (VP c))", {kinds.ROOTS: 1}),
        ("(NP XX XX )NP XX", "(TOP (NP a b) c)", {kinds.ROOTS: 1}),
        ("(S <unk> XX XX foo XX ( ) )S", "(TOP (S a b c))", {kinds.UNKNOWN: 4}),
        ("", "(TOP a b c)", {kinds.MISSING: 3, kinds.ROOTS: 1}),
        ("XX", "(TOP a b c)", {kinds.MISSING: 2, kinds.ROOTS: 1}),
        ("(S )S", "(TOP a b c)", {kinds.EMPTY: 1, kinds.MISSING: 3, kinds.ROOTS: 1}),
        ("(TOP (S XX XX )S XX )TOP", "(TOP (S a b) c)", {}),
        ("(TOP (S XX )S )TOP", "(TOP (S a) b c)", {kinds.MISSING: 2}),
    ],
)
def test_kinds(tokens, wanted, repairs):
    tree, found = repair(tokens.split(), SENTENCE)
    assert shape(tree) == wanted
    assert dict(found) == repairs


def test_every_kind_is_tried_above():
    (mark,) = [mark for mark in test_kinds.pytestmark if mark.name == "parametrize"]
    assert {kind for _, _, repairs in mark.args[1] for kind in repairs} == set(KINDS)


SYMBOLS = st.sampled_from(["XX", "(S", ")S", "(NP", ")NP", "(VP", ")VP", "(TOP", ")TOP", "(", ")", "<unk>", "x"])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.one_of(SYMBOLS, st.text(max_size=4)), max_size=60), st.integers(1, 9))
def test_any_sequence_becomes_a_tree_over_the_sentence(tokens, length):
    sentence = [Tree("NN", word=f"w{number}") for number in range(length)]
    tree, repairs = repair(tokens, sentence)
    assert leaves(tree) == sentence
    assert tree.label == "TOP"
    assert all(node.children for event, node in walk(tree) if event == CLOSE)
    assert set(repairs) <= set(KINDS)
    assert all(count > 0 for count in repairs.values())
    # a repaired tree needs no repair any more
    assert repair(linearise(tree), sentence) == (tree, {})


def test_a_very_long_sequence():
    tree, repairs = repair(["(S"] * 3000 + ["XX"] * 3000, SENTENCE)
    assert [node.word for event, node in walk(tree) if event == LEAF] == ["a", "b", "c"]
    assert repairs == {kinds.UNCLOSED: 3000, kinds.EXTRA: 2997}


def test_a_wrong_label_costs_one_bracket():
    """Of an opening bracket its own; of a closing one nothing."""
    chance = random.Random(5)
    for tree in map(simplify, generate(6, 100)):
        sentence, tokens = leaves(tree), linearise(tree)
        brackets = sum(token.startswith("(") for token in tokens)
        for mark, lost in (("(", 1), (")", 0)):
            at = chance.choice([number for number, token in enumerate(tokens) if token.startswith(mark)])
            wrong = [*tokens[:at], f"{mark}QQ", *tokens[at + 1 :]]
            repaired, repairs = repair(wrong, sentence)
            assert repairs == {kinds.MISMATCHED: 1}
            assert count(tree, repaired)[:3] == (brackets - lost, brackets, brackets)


def test_a_sentence_without_words():
    with pytest.raises(ValueError, match="without words"):
        repair(["XX"], [])
