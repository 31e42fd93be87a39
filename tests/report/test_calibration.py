"""How often the tests of studies are wrong, on recorded scores of many seeds of one model."""

import json
import random

import numpy as np
import pytest
from pipeline_tools import ROOT, python_script, sentences
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

calibration = python_script("calibrate_statistics")
RECORDED = sorted((ROOT / "tests" / "report" / "recorded_scores").glob("*.npz"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_five_in_a_hundred_null_studies_find_a_difference(path):
    """Of 1,000 between 3 and 7 % for every number of seeds; one p for each pair of seeds misleads."""
    runs = calibration.read_scores(path)
    assert len(runs.sums) >= 16
    found = calibration.rejections(runs, studies=1000, shifts=(0.0, 1.0, 4.0))
    for rates in found.values():
        assert 0.03 <= rates["seeds and units"][0] <= 0.07
        assert rates["bootstrap, any seed"][0] >= rates["bootstrap, first seed"][0] > 0.3
        assert rates["seeds and units"] == sorted(rates["seeds and units"])
    assert found[8]["seeds and units"][2] > 0.99
    assert found[8]["seeds and units"][1] > found[5]["seeds and units"][1] > found[3]["seeds and units"][1]


@pytest.mark.parametrize("sizes", calibration.SIMULATED_SIZES, ids=str)
def test_five_in_a_hundred_simulated_studies_find_a_difference(sizes):
    """With parts that are known; more often where seeds are few and uneven, or one of them is far off."""
    seeds, both, units, uneven, skewed = (parts.rejections(sizes) for parts in calibration.SIMULATED)
    assert all(0.02 <= rate <= (0.07 if sizes[0] == sizes[1] else 0.08) for rate in (seeds, both, units))
    assert 0.03 <= uneven <= (0.1 if min(sizes) > 2 else 0.11)
    assert skewed <= 0.15


def test_there_are_two_tasks():
    assert {calibration.read_scores(path).measure.name for path in RECORDED} >= {"BLEU", "loss"}


def hypotheses(lines, seed):
    """The lines with some of their words replaced."""
    rng = random.Random(seed)
    return [" ".join("what" if rng.random() < 0.2 else word for word in line.split()) for line in lines]


def test_bootstrap_is_sacrebleus(monkeypatch):
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    lines = [english for _, english in sentences(80, 3)]
    systems = [(str(seed), hypotheses(lines, seed)) for seed in range(3)]
    metric = BLEU(references=[lines])
    measure = calibration.Measure("BLEU", True, 2, "", calibration.OF_SUMS["BLEU"][1])
    sums = np.array([metric._extract_corpus_statistics(system, None) for _, system in systems], dtype=float)
    runs = calibration.Scores("some", measure, sums)
    p_values = calibration.bootstrapped(runs, runs.resampled(500), shift=0.0)
    _, results = PairedTest(systems, {"BLEU": metric}, references=None, test_type="bs", n_samples=500)()
    assert p_values[0, 1:] == pytest.approx([result.p_value for result in results["BLEU"][1:]])


def test_runs_are_recorded(tmp_path, capsys, monkeypatch):
    """Folders of runs become a small file, whose sums give sacreBLEU's scores; the tables and the picture follow."""
    lines = [english for _, english in sentences(30, 3)]
    (tmp_path / "test.en").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    expected = []
    for seed in range(16):
        generated = tmp_path / "runs" / f"baseline-seed{seed:02d}" / "gen.test"
        generated.mkdir(parents=True)
        (generated.parent / "run.json").write_text(json.dumps({"arch": "transformer_baseline_tiny", "seed": seed}))
        (generated.parent / "done").write_text(json.dumps({"updates": 20}))
        (generated.parent / "train.log").write_text("num. shared model params: 1,234\n")
        text = hypotheses(lines, seed)
        (generated / "hyp.detok.en").write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
        score = {"hypotheses": "hyp.detok.en", "reference": str(tmp_path / "test.en"), "metrics": {"BLEU": {}}}
        (generated / "score.json").write_text(json.dumps(score))
        expected.append(BLEU().corpus_score(text, [lines]).score)

    words = ["--runs", tmp_path / "runs", "--record", tmp_path / "some.npz", "--plot", tmp_path / "power.svg"]
    monkeypatch.setattr("sys.argv", ["calibrate_statistics.py", *map(str, words), "--studies", "20"])
    calibration.main()
    np.testing.assert_allclose(calibration.read_scores(tmp_path / "some.npz").scores, expected, rtol=1e-9)
    assert "some: BLEU of 16 seeds on 30 units" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["calibrate_statistics.py", "--runs", str(tmp_path), "--record", "few.npz"])
    with pytest.raises(SystemExit, match="has 0 runs; train 16 seeds"):
        calibration.main()
    assert "<svg" in (tmp_path / "power.svg").read_text(encoding="utf-8")
