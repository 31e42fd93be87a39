"""What heads do and which are alike, on weights whose answer is known."""

import numpy as np
import pytest

from fairseq_plugins.attention_page.heads import heads_of, paired
from fairseq_plugins.attention_page.recording import Weights
from fairseq_plugins.attention_page.sentence import Sentence
from fairseq_plugins.attention_page.sides import side

LENGTH = 12


def sentence(site, *heads, pieces=None):
    tokens = side(pieces or [f"w{at}" for at in range(LENGTH)], [False] * LENGTH)
    return Sentence(1, tokens, tokens, tokens, sites={site: [Weights(np.stack(heads))]})


def shifted(by):
    """All weight on the key ``by`` places on; where there is none, spread over all."""
    weights = np.full((LENGTH, LENGTH), 1 / LENGTH)
    for query in range(LENGTH):
        if 0 <= query + by < LENGTH:
            weights[query] = np.eye(LENGTH)[query + by]
    return weights


def column(at):
    return np.tile(np.eye(LENGTH)[at], (LENGTH, 1))


def test_kinds():
    spread = np.full((LENGTH, LENGTH), 1 / LENGTH)
    causal = np.tril(np.ones((LENGTH, LENGTH))) / np.arange(1, LENGTH + 1)[:, None]
    wild = np.eye(LENGTH)[np.random.default_rng(1).permutation(LENGTH)]
    wild = np.roll(wild, 3, axis=0) * 0.5 + np.roll(wild, 7, axis=0) * 0.5
    comma = [*(f"w{at}" for at in range(5)), ",", *(f"w{at}" for at in range(6, LENGTH))]
    for site in ("encoder", "decoder"):
        made = sentence(site, shifted(-1), shifted(1), shifted(0), column(0), column(-1), spread, wild, pieces=comma)
        (found,) = heads_of([made], site)
        assert [head.kind for head in found] == ["previous", "next", "self", "first", "last", "broad", "mixed"]
        assert found[0].share == pytest.approx((LENGTH - 1) / LENGTH)
        assert found[5].entropy == pytest.approx(np.log(LENGTH))
        assert found[2].distance == 0
        assert found[3].distance == pytest.approx(np.arange(LENGTH).mean())
        assert found[0].error is None
    assert heads_of([sentence("encoder", column(5), pieces=comma)], "encoder")[0][0].kind == "punctuation"
    assert heads_of([sentence("decoder", causal)], "decoder")[0][0].kind == "broad"
    assert heads_of([sentence("cross", shifted(0))], "cross")[0][0].kind == "diagonal"


def test_means_are_over_the_queries_of_all_sentences():
    error = np.array([[0.5] * LENGTH])
    sparse = Sentence(
        2, *[side(["a"], [False])] * 3, sites={"encoder": [Weights(np.ones((1, 1, 1)), None, error[:, :1] * 0)]}
    )
    long = sentence("encoder", column(0))
    long.sites["encoder"] = [long.sites["encoder"][0]._replace(error=error)]
    ((head,),) = heads_of([long, sparse], "encoder")
    assert head.error == pytest.approx(0.5 * LENGTH / (LENGTH + 1))


def test_pairs_are_found_whatever_their_places():
    rng = np.random.default_rng(3)
    heads = rng.dirichlet(np.ones(LENGTH) * 0.1, size=(4, LENGTH))
    order = [2, 0, 3, 1]
    found = paired([sentence("encoder", *heads)], [sentence("encoder", *heads[order])], "encoder")
    assert [(a[1], a[3]) for a in found] == [(0, 1), (1, 3), (2, 0), (3, 2)]
    assert all(alike == pytest.approx(1) for *_, alike in found)
