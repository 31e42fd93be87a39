"""Alignment error rates against Och and Ney's definition, word by word."""

import numpy as np
import pytest

from fairseq_plugins.attention_page.alignments import ErrorRates, read_gold
from fairseq_plugins.attention_page.recording import Weights
from fairseq_plugins.attention_page.sentence import Sentence
from fairseq_plugins.attention_page.sides import side
from fairseq_plugins.errors import UserError


def sentence(source, target, weights):
    """Its sides end with ``</s>``; a head's weights are given by the key that each query looks at."""
    sides = [side([*text.split(), "</s>"], [False] * len(text.split()) + [True], "@@") for text in (source, target)]
    used = np.zeros((len(weights), len(sides[1].pieces), len(sides[0].pieces)))
    for head, keys in enumerate(weights):
        for query, key in enumerate(keys):
            used[head, query, key] = 1
    return Sentence(1, sides[0], sides[1], sides[1], sites={"cross": [Weights(used)]})


def test_rates(tmp_path):
    (tmp_path / "gold").write_text("0-0 1p1 2-2\n")
    (gold,) = read_gold(tmp_path / "gold")
    rates = ErrorRates("gold")
    # "b@@ c" is word 1 of the source; heads: right; right one query later; all on the first word
    rates.add(sentence("a b@@ c d", "x y z", [(0, 2, 3, 4), (4, 0, 1, 3), (0, 0, 0, 0)]), gold)
    right, later, first = rates.rates()[0]
    # A has three links, of which two are sure and all possible: 1 - (2 + 3) / (3 + 2)
    assert right.output == pytest.approx(0)
    assert later.input == pytest.approx(0)
    # links 0-0, 0-1, 0-2, of which one is sure
    assert first == pytest.approx((1 - 2 / 5, 1 - 2 / 5))


def test_of_several_lines_links_are_added(tmp_path):
    (tmp_path / "gold").write_text("0-0\n0-0 1-1\n")
    rates = ErrorRates("gold")
    for one, gold in zip(
        (sentence("a b", "x y", [(1, 1, 2)]), sentence("a b", "x y", [(0, 1, 2)])), read_gold(tmp_path / "gold")
    ):
        rates.add(one, gold)
    assert rates.rates()[0][0].output == pytest.approx(1 - (2 + 2) / (4 + 3))


@pytest.mark.parametrize("line", ["0-0 1:1", "0-", "a-b", "0 - 0"])
def test_what_is_no_link_is_told_by_its_line(line, tmp_path):
    (tmp_path / "gold").write_text(f"0-0\n{line}\n")
    with pytest.raises(UserError, match=r"gold:2: .* is no link"):
        read_gold(tmp_path / "gold")


def test_links_to_words_that_are_not_there(tmp_path):
    (tmp_path / "gold").write_text("0-2\n")
    with pytest.raises(UserError, match="gold:1: 0-2 has target word 2, but the line has 2 words there"):
        ErrorRates("gold").add(sentence("a", "x y", [(0, 1, 1)]), read_gold(tmp_path / "gold")[0])
