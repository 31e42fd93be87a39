"""The search of --fast-inference beside fairseq's own, over the same model."""

from argparse import Namespace

import pytest
import torch
from builders import batch, build, translation_task
from fairseq.sequence_generator import SequenceGenerator
from hypothesis import given
from hypothesis import strategies as st

from fairseq_plugins.models.fast_search import CHUNK, FastBeamSearch, largest_words

KINDS = ("transformer_baseline_tiny", "transformer_valueaware_tiny", "transformer_lm_neuralqkv_tiny")


def generators(models, **options):
    """Fairseq's, and ours over the same models."""
    task, args = translation_task(), Namespace(**{"beam": 3, "max_len_b": 12, **options})
    built = task.build_generator(models, args)
    stock = task.build_generator(models, args)
    stock.__class__ = SequenceGenerator
    return stock, built


def sample_for(name):
    source, lengths, _ = batch()
    net_input = {"src_tokens": source, "src_lengths": lengths}
    return {"id": torch.arange(len(source)), "net_input": net_input}, None if "_lm_" not in name else source[:, :3]


def fast_model(name, scale=4.0):
    """One whose words differ in their probabilities, as a trained model's do."""
    model = build(name, fast_inference=True).eval()
    with torch.no_grad():
        model.decoder.output_projection.weight.mul_(scale)
    model.prepare_for_inference_(Namespace(generation=Namespace(print_alignment=None, beam=3)))
    return model


def assert_same(expected, found):
    assert len(expected) == len(found)
    for slow, quick in zip(expected, found):
        assert len(slow) == len(quick)
        for one, other in zip(slow, quick):
            assert one.keys() == other.keys()
            for name in ("tokens", "score", "positional_scores", "alignment"):
                assert torch.equal(one[name], other[name]), name


OPTIONS = [
    {},
    {"beam": 1},
    {"beam": 5, "lenpen": 0.3, "min_len": 4},
    {"unkpen": 1.5, "unnormalized": True, "temperature": 1.7},
    {"max_len_b": 2},
    {"max_len_a": 0.5, "max_len_b": 3},
    {"suppress": (5, 7)},
]


# a search knows a model by its scores alone: every option with and without a source, and every model
@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, options) for name in (KINDS[0], KINDS[2]) for options in OPTIONS), (KINDS[1], OPTIONS[2])],
    ids=str,
)
def test_hypotheses_and_scores_are_fairseqs(name, options):
    options = dict(options)
    suppressed = options.pop("suppress", None)
    model = fast_model(name)
    stock, ours = generators([model], **options)
    assert type(ours) is FastBeamSearch
    for generator in (stock, ours):
        generator.token_indices_to_suppress = None if suppressed is None else torch.tensor(suppressed)
    sample, prefix = sample_for(name)
    expected = stock.generate([model], sample, prefix_tokens=prefix)
    assert_same(expected, ours.generate([model], sample, prefix_tokens=prefix))
    assert sum(len(ranked) for ranked in expected) > 0


@pytest.mark.parametrize("prefix", [[[5, 6], [7, 2], [2, 1], [8, 1]], [[5], [6], [7], [9]]])
def test_prefixes_are_fairseqs(prefix):
    """Longer and shorter ones, one that ends its sentence, and none."""
    model = fast_model(KINDS[0])
    stock, ours = generators([model])
    sample, _ = sample_for(KINDS[0])
    prefix = torch.tensor(prefix)[: len(sample["id"])]
    assert_same(*(each.generate([model], sample, prefix_tokens=prefix) for each in (stock, ours)))


def test_broken_scores_are_fairseqs():
    """NaN is as improbable as can be, whatever else a word's score is."""
    model = fast_model(KINDS[0])
    with torch.no_grad():
        model.decoder.output_projection.weight[9] = float("nan")
    stock, ours = generators([model], max_len_b=4)
    sample, _ = sample_for(KINDS[0])
    assert_same(
        *(
            [[]] if len(found) == 0 else found
            for found in (stock.generate([model], sample), ours.generate([model], sample))
        )
    )


@pytest.mark.parametrize(
    "options",
    [{"sampling": True}, {"diverse_beam_groups": 3}, {"print_alignment": "hard"}, {"no_repeat_ngram_size": 2}],
    ids=str,
)
def test_what_it_does_not_know_is_left_to_fairseq(options):
    assert type(generators([fast_model(KINDS[0])], **options)[1]) is not FastBeamSearch


def test_plain_models_and_ensembles_are_searched_by_fairseq():
    assert type(generators([build(KINDS[0]).eval()])[1]) is SequenceGenerator
    assert type(generators([fast_model(KINDS[0]), fast_model(KINDS[0])])[1]) is SequenceGenerator


def test_a_beam_wider_than_the_dictionary():
    model = fast_model(KINDS[0])
    stock, ours = generators([model], beam=len(translation_task().target_dictionary))
    sample, _ = sample_for(KINDS[0])
    assert_same(*(each.generate([model], sample) for each in (stock, ours)))


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 20 * CHUNK), st.randoms(use_true_random=False))
def test_the_largest_of_many_words_are_topks(rows, wanted, words, numbers):
    wanted = min(wanted, words)
    x = torch.tensor([numbers.choice([numbers.random(), 0.5, -float("inf")]) for _ in range(rows * words)]).view(
        rows, words
    )
    values, places = largest_words(x, wanted)
    assert torch.equal(values, x.topk(wanted)[0])
    assert torch.equal(x.gather(1, places), values)
    assert all(len(set(row)) == wanted for row in places.tolist())
