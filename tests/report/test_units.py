"""Scores of sums against sacreBLEU's own corpus scores."""

import itertools
import random

import numpy as np
import pytest
from pipeline_tools import sentences
from sacrebleu.metrics import BLEU, CHRF, TER

from fairseq_plugins.report.losses_by_block import TokenLosses, loss_units, read_losses
from fairseq_plugins.report.translations import Translation, length_ratio, metrics_of, translation_units
from fairseq_plugins.report.units import ratio

#: hypotheses and references: empty ones, one word, nothing in common, punctuation, other scripts, blanks at the end
ODD = (
    (["", "", "a", "a b"], ["", "a", "", "a"]),
    (["the", "cat"], ["the", "dog"]),
    (["x y z w v"], ["a b c d e"]),
    (["The cat's on the mat, isn't it?  "], ["The cat is on the mat; isn't it?"]),
    (["我喜欢猫。", "ein Haus-Tür 3.14"], ["我喜欢狗。", "eine Haustür 3,14"]),
    (["a b c", "d"], ["a b c d e f", "d e"]),
    (["", ""], ["a", "b"]),
)


def translation(hypotheses, references, tokenizer="13a"):
    return Translation("f", "n", "a", 1, 1, 1, 1.0, [], hypotheses, references, tokenizer)


def noisy(lines, share, seed):
    rng = random.Random(seed)
    kept = [[word for word in line.split() if rng.random() > share / 2] for line in lines]
    return [" ".join("what" if rng.random() < share else word for word in line) for line in kept]


LINES = [english for _, english in sentences(40, 3)]
TEXTS = (*ODD, (noisy(LINES, 0.3, 1), LINES), (LINES, LINES))


@pytest.mark.parametrize("tokenizer", ["13a", "intl", "char", "none", "zh"])
@pytest.mark.parametrize("text", TEXTS)
def test_scores_of_sums_are_sacrebleus(text, tokenizer):
    hypotheses, references = text
    run = translation(hypotheses, references, tokenizer)
    found = translation_units(run, metrics_of(run, with_ter=True))
    for metric in (BLEU(tokenize=tokenizer), CHRF(), TER()):
        direct = metric.corpus_score(hypotheses, [references])
        measure, sums = found[direct.name]
        assert sums.shape[0] == len(hypotheses)
        assert found[direct.name].score == pytest.approx(direct.score, rel=1e-13, abs=0)
        assert measure.signature == str(metric.get_signature())
        assert measure.higher_is_better == (direct.name != "TER")
        if direct.name == "BLEU":
            assert length_ratio(found["BLEU"]) == direct.ratio


@pytest.mark.parametrize("text", TEXTS)
def test_many_sums_at_once(text):
    """Every sentence left out in turn, and resamples: the scores of the texts that are left."""
    hypotheses, references = text
    run = translation(hypotheses, references)
    drawn = np.random.default_rng(1).integers(len(hypotheses), size=(2, 3, len(hypotheses)))
    for name, (measure, sums) in translation_units(run, metrics_of(run, with_ter=True)).items():
        metric = {"BLEU": BLEU, "chrF2": CHRF, "TER": TER}[name]()
        resampled = measure.of_sums(sums[drawn].sum(axis=2))
        assert resampled.shape == (2, 3)
        for place in itertools.product(range(2), range(3)):
            chosen, against = ([side[number] for number in drawn[place]] for side in (hypotheses, references))
            direct = metric.corpus_score(chosen, [against]).score
            assert resampled[place] == pytest.approx(direct, rel=1e-13, abs=0), name
        without = measure.of_sums(sums.sum(axis=0) - sums)
        for number in range(min(len(hypotheses), 4) if len(hypotheses) > 1 else 0):
            rest = [side[:number] + side[number + 1 :] for side in (hypotheses, references)]
            assert without[number] == pytest.approx(metric.corpus_score(rest[0], [rest[1]]).score, rel=1e-13, abs=0)


def test_ratio():
    assert ratio(np.array([1.0, 2.0, 0.0]), np.array([4.0, 0.0, 0.0])).tolist() == [0.25, 0, 0]
    assert float(ratio(np.float64(1), np.float64(0))) == 0


def test_losses_by_block(tmp_path):
    values = np.array([1.0, 2.0, 4.0, 0.5], dtype=np.float32)
    losses = TokenLosses(
        np.arange(4, dtype=np.int32), np.array([0, 1, 0, 3], np.int32), values, np.array([0, 0, 2, 2], np.int32), 4, -1
    )
    losses.write(tmp_path / "losses.test.npz")
    again = read_losses(tmp_path)
    for one, other in zip(losses, again):
        assert np.array_equal(one, other)
    units = loss_units(again)
    assert units["loss"].sums.tolist() == [[3, 2], [0, 0], [4.5, 2], [0, 0]]
    assert units["loss"].score == losses.mean == 7.5 / 4
    assert units["perplexity"].score == pytest.approx(np.exp(7.5 / 4))
    (tmp_path / "losses.test.npz").write_bytes((tmp_path / "losses.test.npz").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"losses\.test\.npz is damaged"):
        read_losses(tmp_path)
    with pytest.raises(ValueError, match=r"losses\.valid\.npz: make it with fairseq-plugins token-losses"):
        read_losses(tmp_path, "valid")
