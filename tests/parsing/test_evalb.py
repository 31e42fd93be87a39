"""EVALB's counts: its own samples and output, cases worked by hand, and a naive count over NLTK's trees."""

import itertools
from pathlib import Path

import pytest
from treebank_files import as_nltk, read

from fairseq_plugins.parsing.evalb import COLLINS, Counts, Parameters, count, evaluate, summarise
from fairseq_plugins.parsing.linearise import linearise, simplify
from fairseq_plugins.parsing.repair import repair
from fairseq_plugins.parsing.toy import generate
from fairseq_plugins.parsing.trees import leaves, read_tree_lines

VECTORS = Path(__file__).parent / "vectors"

#: sample/sample.prm of EVALB, as far as brackets go: other than in COLLINS.prm the full stop stays
SAMPLE = Parameters(delete=frozenset(COLLINS.delete - {"."}), equal={})

GOLD = "(S (A (P this)) (B (Q is) (A (R a) (T test))))"
#: sample/sample.tst and sample.rsl: number, predicted tree, matched, gold, predicted and crossing brackets
SAMPLES = [
    (1, "(S (A (P this)) (B (Q is) (A (R a) (T test))))", 4, 4, 4, 0),
    (2, "(S (A (P this)) (B (Q is) (C (R a) (T test))))", 3, 4, 4, 0),
    (3, "(S (A (P this)) (B (Q is) (A (R a) (U test))))", 4, 4, 4, 0),
    (4, "(S (C (P this)) (B (Q is) (A (R a) (U test))))", 3, 4, 4, 0),
    (5, "(S (A (P this)) (B (Q is) (R a) (A (T test))))", 3, 4, 4, 0),
    (6, "(S (A (P this) (Q is)) (A (R a) (T test)))", 2, 4, 3, 1),
    (7, "(S (P this) (Q is) (R a) (T test))", 1, 4, 1, 0),
    (8, "( (P this) (Q is) (R a) (T test))", 0, 4, 0, 0),
    (9, "(S (A (P this)) (B (Q is) (A (A (R a) (T test)))))", 4, 4, 5, 0),
    (10, "(S (A (P this)) (B (Q is) (A (A (A (A (A (R a) (T test))))))))", 4, 4, 8, 0),
    (15, "(TOP (S (A (P this)) (B (Q is) (A (R a) (T test)))))", 4, 4, 4, 0),
    (18, "(S (A (P this)) (B (Q is) (A (R a) (TT test))))", 4, 4, 4, 0),
]


def one(text):
    (tree,) = read(text)
    return tree


@pytest.mark.parametrize(("number", "text", "matched", "gold", "predicted", "crossing"), SAMPLES)
def test_evalbs_sample(number, text, matched, gold, predicted, crossing):
    assert count(one(GOLD), one(text), SAMPLE) == Counts(matched, gold, predicted, crossing, 4, True)


def test_evalbs_sample_with_tags_traces_and_length():
    """Sentences 21 to 24 of the sample: functional tags, a long sentence, a trace and punctuation in both trees."""
    assert count(one("(S (A-SBJ-1 (P this)) (B-WHATEVER (Q is) (A (R a) (T test))))"), one(GOLD), SAMPLE)[:4] == (
        4,
        4,
        4,
        0,
    )
    half = "(A (P this)) (B (Q is) (A (R a) (T test)))"
    long = one(f"(S {' '.join([half] * 11)})")
    assert count(long, long, SAMPLE) == Counts(34, 34, 34, 0, 44, True)
    for extra, length in (("(-NONE- *)", 4), ("(: *)", 5)):
        tree = one(f"(S {half} {extra})")
        assert count(tree, tree, SAMPLE) == Counts(4, 4, 4, 0, length, True)


@pytest.mark.parametrize(
    "text",
    [
        "(S (A (P this)) (B (Q was) (A (A (R a) (T test)))))",
        "(S (A (P this)) (B (Q is) (U not) (A (A (R a) (T test)))))",
        "(S (A (P this)) (NONE *) (B (Q is) (A (R a) (T test))))",
        "(S (A (P That)) (B (Q is) (A (R a) (T test))))",
    ],
)
def test_evalbs_errors_are_refused(text):
    """Sentences 12, 13, 16 and 20 of the sample, which EVALB counts as errors."""
    with pytest.raises(ValueError, match="different words"):
        count(one(GOLD), one(text), SAMPLE)


def test_what_evalb_prints():
    """Sentence by sentence and in sum, on trees with traces, punctuation, PRT for ADVP and doubled brackets."""
    gold, predicted = read_tree_lines(VECTORS / "gold.trees"), read_tree_lines(VECTORS / "predicted.trees")
    printed = (VECTORS / "evalb.txt").read_text()
    lines, _, summary = printed.partition("=== Summary ===")
    rows = [row for row in map(str.split, lines.split("\n")) if row and row[0].isdigit() and len(row) == 12]
    assert len(rows) == len(gold) == 47
    for row, tree, other in zip(rows, gold, predicted):
        counts = count(tree, other)
        ours = (counts.length, counts.matched, counts.gold, counts.predicted, counts.crossing)
        assert ours == tuple(int(row[column]) for column in (1, 5, 6, 7, 8)), row
    names = {
        "Number of sentence": "sentences",
        "Bracketing Recall": "recall",
        "Bracketing Precision": "precision",
        "Bracketing FMeasure": "f1",
        "Complete match": "complete match",
        "Average crossing": "average crossing",
        "No crossing": "no crossing",
        "2 or less crossing": "2 or less crossing",
    }
    scores = evaluate(gold, predicted)
    for block, part in zip(("all", "short"), summary.split("-- len<=40 --")):
        found = dict(line.split("=") for line in part.split("\n") if "=" in line)
        for theirs, ours in names.items():
            value = next(value for name, value in found.items() if name.strip() == theirs)
            assert scores[block][ours] == pytest.approx(float(value), abs=0.00501), (block, ours)


def test_by_hand():
    """Counted on paper.

    Without punctuation and traces: she 0, saw 1, the 2, dog 3, yesterday 4. Gold S[0,5] NP[0,1] VP[1,5] NP[2,4]
    ADVP[4,5]; the S over the trace is empty. Predicted S[0,5] NP[0,1] VP[1,5] NP[2,5] PRT[4,5]. TOP and tags do not
    count, PRT is ADVP: all match but one NP on either side, recall 4/5, precision 4/5. NP[2,5] holds all of NP[2,4], so
    it crosses nothing. The length has the full stop, but no trace: 6.
    """
    gold = one(
        "(TOP (S (NP-SBJ (PRP she)) (VP (VBD saw) (NP (DT the) (NN dog)) (ADVP-TMP (RB yesterday)) (S (-NONE- *)))"
        " (. .)))"
    )
    predicted = one("(TOP (S (NP (PRP she)) (VP (VBD saw) (NP (DT the) (NN dog) (PRT (RB yesterday)))) (. .)))")
    assert count(gold, predicted) == Counts(4, 5, 5, 0, 6, True)


def test_crossing_by_hand():
    """Gold X[0,2] Y[2,4] in S[0,4]; predicted X[0,1] Z[1,3] W[1,3] Y[3,4] in S[0,4].

    Z and W cross X[0,2] (and Y[2,4]), each counted once: 2. Only S is common: recall 1/3, precision 1/5.
    F1 = 2 * 1 / (3 + 5) = 25 %.
    """
    gold = one("(S (X (N a) (N b)) (Y (N c) (N d)))")
    predicted = one("(S (X (N a)) (Z (W (N b) (N c))) (Y (N d)))")
    assert count(gold, predicted) == Counts(1, 3, 5, 2, 4, True)
    scores = evaluate([gold], [predicted])["all"]
    assert scores["recall"] == pytest.approx(100 / 3)
    assert scores["precision"] == pytest.approx(20)
    assert scores["f1"] == pytest.approx(25)
    assert (scores["average crossing"], scores["no crossing"], scores["2 or less crossing"]) == (2, 0, 100)


def test_equal_brackets_match_as_often_as_both_have_them():
    """README of EVALB, section 7.5: n in gold, m in the other, min(n, m) match."""
    double = one("(S (NP (NP (NN x) (NN y))) (VB z))")
    single = one("(S (NP (NN x) (NN y)) (VB z))")
    assert count(double, single)[:3] == (2, 3, 2)
    assert count(single, double)[:3] == (2, 2, 3)


def test_a_sentence_of_punctuation_is_skipped():
    dots, rain = one("(TOP (X (: --) (. .)))"), one("(TOP (S (NP (PRP it)) (VP (VBD rained))))")
    assert count(dots, dots) == Counts(0, 0, 0, 0, 2, False)
    scores = evaluate([dots, rain], [dots, rain])["all"]
    assert (scores["sentences"], scores["skipped"], scores["complete match"]) == (2, 1, 100)
    assert set(summarise([]).values()) == {0}


def test_lengths_differ():
    with pytest.raises(ValueError, match="2 gold trees but 1 predicted"):
        evaluate([one(GOLD)] * 2, [one(GOLD)])
    with pytest.raises(ValueError, match="sentence 2: the trees have different words"):
        evaluate([one(GOLD)] * 2, [one(GOLD), one("(S (P this))")])


def test_gold_against_gold_is_100():
    trees = generate(8, 300)
    for other in (trees, [simplify(tree) for tree in trees]):
        for block in evaluate(trees, other).values():
            assert (block["f1"], block["complete match"], block["average crossing"]) == (100, 100, 0)


def naive(gold, predicted):
    """Matched, gold, predicted and crossing brackets, one pair after the other, over NLTK's trees."""
    from nltk import Tree

    def spans(tree):
        kept = [p for p in tree.treepositions("leaves") if tree[p[:-1]].label() not in COLLINS.delete]
        found = []
        for position in tree.treepositions("preorder"):
            node = tree[position]
            if not isinstance(node, Tree) or not isinstance(node[0], Tree):
                continue
            inside = [index for index, leaf in enumerate(kept) if leaf[: len(position)] == position]
            label = node.label().split("-")[0].split("=")[0].replace("PRT", "ADVP")
            if inside and label not in ("TOP", ""):
                found.append((label, inside[0], inside[-1]))
        return found

    ours, theirs = spans(as_nltk(gold)), spans(as_nltk(predicted))
    crossing = sum(any(a < x <= b < y or x < a <= y < b for _, x, y in ours) for _, a, b in theirs)
    left, matched = list(theirs), 0
    for bracket in ours:
        if bracket in left:
            left.remove(bracket)
            matched += 1
    return matched, len(ours), len(theirs), crossing


def test_against_a_naive_count():
    """The trees of one sentence shape against another's brackets: nearly everything is wrong, much crosses."""
    trees = [tree for tree in generate(9, 150) if "PRT|ADVP" not in str(tree)]
    crossings = 0
    for tree, other in itertools.pairwise(trees):
        predicted = repair(linearise(simplify(other)), leaves(simplify(tree))).tree
        counts = count(tree, predicted)
        assert counts[:4] == naive(tree, predicted)
        crossings += counts.crossing
    assert crossings > 50
