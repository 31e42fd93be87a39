"""What differs between models, against the same counts written out."""

import itertools
import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from fairseq_plugins.report.buckets import bucket_of, labels_of, table
from fairseq_plugins.report.losses_by_block import TokenLosses, check_same_tokens
from fairseq_plugins.report.ngrams import mean_matches, most_different
from fairseq_plugins.report.sentences import most_different_sentences
from fairseq_plugins.report.source_length import source_length
from fairseq_plugins.report.symbols import position_in_block, symbol_frequencies, symbol_frequency
from fairseq_plugins.report.translations import Translation, metrics_of, translation_units, words_of
from fairseq_plugins.report.words import word_frequency

WORDS = [f"w{number}" for number in range(12)]


def text(seed, lines=30, words=WORDS):
    draw = random.Random(seed)
    return [" ".join(draw.choice(words) for _ in range(draw.randrange(0, 9))) for _ in range(lines)]


def changed(lines, seed, share=0.4):
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) if draw.random() < share else word for word in line.split()) for line in lines]


REFERENCES = text(1)
BASELINE = [changed(REFERENCES, seed) for seed in (2, 3)]
VARIANT = [changed(REFERENCES, seed, 0.3) for seed in (4, 5)]


def as_words(lines):
    return words_of(lines, "13a")


def translations(outputs):
    return [Translation("f", "n", "a", s, 1, 1, 1.0, [], lines, REFERENCES, "13a") for s, lines in enumerate(outputs)]


def units(outputs, metric):
    runs = translations(outputs)
    metrics = {metric: metrics_of(runs[0])[metric]}
    return [translation_units(run, metrics)[metric] for run in runs]


def test_words_are_sacrebleus():
    assert words_of(["It's a test, isn't it?  ", ""], "13a") == [["It's", "a", "test", ",", "isn't", "it", "?"], []]
    assert words_of(["one, two"], "none") == [["one,", "two"]]
    assert words_of(["我喜欢"], "zh") == [["我", "喜", "欢"]]


def test_buckets():
    bounds = (0, 1, 2, 5, 1000)
    assert labels_of(bounds) == ["0", "1", "2-4", "5-999", "1,000+"]
    assert bucket_of([0, 1, 2, 4, 5, 999, 1000, 10**9], bounds).tolist() == [0, 1, 2, 2, 3, 3, 4, 4]
    made = table("t", "x", "v", True, ["a", "b", "c"], [2, 0, 1], {"one": [[1, 9, 4], [2, 9, float("nan")]]})
    assert made == {
        "title": "t", "axis": "x", "value": "v", "higher_is_better": True,
        "labels": ["a", "c"], "counts": [2, 1], "variants": {"one": [1.5, None]},
    }  # fmt: skip


def f1_of_words(hypotheses, references, chosen):
    """Of the words of a set."""
    matched = in_hypotheses = in_references = 0
    for hypothesis, reference in zip(hypotheses, references):
        for word in chosen & {*hypothesis, *reference}:
            matched += min(hypothesis.count(word), reference.count(word))
            in_hypotheses += hypothesis.count(word)
            in_references += reference.count(word)
    precision, recall = matched / in_hypotheses, matched / in_references
    return 200 * precision * recall / (precision + recall)


def test_word_frequency():
    training = dict(zip(WORDS, [0, 1, 2, 3, 4, 5, 9, 12, 50, 500, 1000, 99999]))
    del training["w0"]
    references = as_words(REFERENCES)
    systems = {
        "baseline": [as_words(lines) for lines in BASELINE],
        "ours": [as_words(lines) for lines in VARIANT],
    }
    found = word_frequency(systems, references, training)
    assert found["labels"] == ["0", "1", "2-4", "5-9", "10-99", "100-999", "1,000+"]
    spans = [(0, 0), (1, 1), (2, 4), (5, 9), (10, 99), (100, 999), (1000, 10**9)]
    for number, (low, high) in enumerate(spans):
        chosen = {word for word in WORDS if low <= training.get(word, 0) <= high}
        assert found["counts"][number] == sum(word in chosen for line in references for word in line)
        for name, seeds in systems.items():
            values = [f1_of_words(lines, references, chosen) for lines in seeds]
            assert found["variants"][name][number] == pytest.approx(sum(values) / 2, abs=1e-10)


def test_source_length():
    sources = [" ".join(["x"] * count) for count in [*range(0, 70, 3), 10, 11, 20, 21, 200, 200]]
    lengths = [len(line.split()) for line in sources]
    found = source_length({"baseline": units(BASELINE, "BLEU"), "ours": units(VARIANT, "BLEU")}, lengths)
    assert found["labels"] == ["0-10", "11-20", "21-30", "31-40", "41-50", "51-60", "61+"]
    assert sum(found["counts"]) == 30
    for number, (low, high) in enumerate(itertools.pairwise([0, 11, 21, 31, 41, 51, 61, 1000])):
        there = [place for place, length in enumerate(lengths) if low <= length < high]
        assert found["counts"][number] == len(there)
        parts = [[[lines[place] for place in there] for lines in (output, REFERENCES)] for output in VARIANT]
        exact = sum(BLEU().corpus_score(output, [reference]).score for output, reference in parts) / 2
        assert found["variants"]["ours"][number] == pytest.approx(exact, abs=1e-10)
    # a length that no sentence has is no bucket
    short = source_length({"one": units(BASELINE, "BLEU")}, [25] * 30)
    assert (short["labels"], short["counts"]) == (["21-30"], [30])


def matches(ngram, hypotheses, references):
    def times(words):
        return sum(tuple(words[start : start + len(ngram)]) == ngram for start in range(len(words)))

    return sum(min(times(hypothesis), times(reference)) for hypothesis, reference in zip(hypotheses, references))


def test_ngrams():
    references = as_words(REFERENCES)
    ours, theirs = ([as_words(lines) for lines in outputs] for outputs in (VARIANT, BASELINE))
    mine, base = mean_matches(ours, references), mean_matches(theirs, references)
    every = {
        tuple(line[start : start + length])
        for line in references for length in (1, 2, 3, 4) for start in range(len(line) - length + 1)
    }  # fmt: skip
    exact = {}
    for ngram in every:
        exact[ngram] = tuple(sum(matches(ngram, lines, references) for lines in seeds) / 2 for seeds in (ours, theirs))
        assert (mine.get(ngram, 0), base.get(ngram, 0)) == exact[ngram]
    found = most_different(mine, base)
    for name, sign in (("gained", 1), ("lost", -1)):
        assert len(found[name]) == 15
        differences = [sign * (mine_count - base_count) for _, mine_count, base_count in found[name]]
        assert differences == sorted(differences, reverse=True)
        listed = [tuple(ngram.split()) for ngram, *_ in found[name]]
        for ngram, *counts in found[name]:
            assert exact[tuple(ngram.split())] == tuple(counts)
        # whatever is more different is listed, or a part of what is
        for ngram, (first, second) in exact.items():
            if sign * (first - second) > differences[-1] and ngram not in listed:
                whole = [long for long in listed if f" {' '.join(ngram)} " in f" {' '.join(long)} "]
                assert any(exact[long] == (first, second) for long in whole)


def test_ngrams_that_are_parts():
    """``b c`` and ``a b c`` are in ``a b c d`` as often as it is there itself; ``d`` is elsewhere, too."""
    references = [["a", "b", "c", "d"], ["d"]]
    mine = mean_matches([[["a", "b", "c", "d"], ["d"]]], references)
    assert most_different(mine, {}) == {"gained": [("d", 2, 0), ("a b c d", 1, 0)], "lost": []}
    assert most_different({}, mine)["lost"] == [("d", 0, 2), ("a b c d", 0, 1)]
    assert most_different(mine, mine) == {"gained": [], "lost": []}


def test_sentences():
    scores = tuple(units(outputs, "chrF2") for outputs in (VARIANT, BASELINE))
    sources = [f"source {number}" for number in range(30)]
    found = most_different_sentences(translations(VARIANT), translations(BASELINE), scores, sources)
    exact = []
    for number, reference in enumerate(REFERENCES):
        values = [
            sum(CHRF().sentence_score(lines[number], [reference]).score for lines in outputs) / 2
            for outputs in (VARIANT, BASELINE)
        ]
        exact.append((-round(abs(values[0] - values[1]), 6), number + 1, *values))
    exact.sort()
    assert [sentence["number"] for sentence in found] == [number for _, number, *_ in exact[:20]]
    for sentence, (_, number, mine, theirs) in zip(found, exact):
        assert sentence == {
            "number": number, "source": sources[number - 1], "reference": REFERENCES[number - 1],
            "baseline": BASELINE[0][number - 1], "variant": VARIANT[0][number - 1],
            "baseline_score": pytest.approx(theirs, abs=1e-8), "variant_score": pytest.approx(mine, abs=1e-8),
        }  # fmt: skip
    assert most_different_sentences(translations(VARIANT), translations(VARIANT), (scores[0], scores[0])) == []
    # of three seeds that one stands for the others whose score is nearest to their mean
    three = [["nothing"] * 30, BASELINE[0], BASELINE[0]]
    units_of_three = [units([outputs], "chrF2")[0] for outputs in three]
    (first, *_) = most_different_sentences(translations(three), translations(BASELINE), (units_of_three, scores[1]))
    assert first["variant"] == BASELINE[0][first["number"] - 1] != "nothing"


def losses(seed):
    """300 tokens of 11 symbols in blocks of 40, of which the last is short."""
    places, draw = np.arange(300), np.random.default_rng(7)
    symbol = draw.integers(11, size=300).astype(np.int32)
    values = np.random.default_rng(seed).random(300).astype(np.float32)
    return TokenLosses(symbol, (places % 40).astype(np.int32), values, (places // 40).astype(np.int32), 8, -1)


def mean_where(chosen, systems):
    return np.mean([found.loss[chosen].astype(np.float64).mean() for found in systems])


def test_symbol_frequency(tmp_path):
    (tmp_path / "dict.txt").write_text("a 250000\nb 10000\nc 9999\nd 12\ne 2\nf 0\n")
    frequencies = symbol_frequencies(tmp_path / "dict.txt")
    assert frequencies.tolist() == [-1] * 4 + [250000, 10000, 9999, 12, 2, 0]
    systems = {"baseline": [losses(1), losses(2)], "ours": [losses(3)]}
    found = symbol_frequency(systems, frequencies)
    assert found["labels"] == ["special", "0", "2-4", "10-99", "1,000-9,999", "10,000-99,999", "100,000+"]
    symbols = losses(1).symbol
    # 10 is <mask>, which no dict.txt has
    for number, chosen in enumerate([[0, 1, 2, 3, 10], [9], [8], [7], [6], [5], [4]]):
        there = np.isin(symbols, chosen)
        assert found["counts"][number] == there.sum()
        for name, seeds in systems.items():
            assert found["variants"][name][number] == pytest.approx(mean_where(there, seeds), abs=1e-12)


def test_position_in_block():
    systems = {"baseline": [losses(1), losses(2)], "ours": [losses(3)]}
    found = position_in_block(systems)
    assert found["labels"] == ["1", "2-3", "4-7", "8-15", "16-31", "32-63"]
    for number, (low, high) in enumerate([(0, 0), (1, 2), (3, 6), (7, 14), (15, 30), (31, 62)]):
        there = (losses(1).position >= low) & (losses(1).position <= high)
        assert found["counts"][number] == there.sum()
        for name, seeds in systems.items():
            assert found["variants"][name][number] == pytest.approx(mean_where(there, seeds), abs=1e-12)


def test_other_tokens_are_refused():
    one = losses(1)
    check_same_tokens({"a": one, "b": losses(2)})
    with pytest.raises(ValueError, match="b and a were evaluated on other tokens"):
        check_same_tokens({"a": one, "b": one._replace(position=one.position + 1)})
