"""STUDY.yaml: what it may say, and that what is wrong with it is said by file and line."""

from pathlib import Path

import pytest
from pipeline_tools import ROOT

from fairseq_plugins.errors import UserError
from fairseq_plugins.study.spec import load_study, option_words, read_seeds

GOOD = """\
title: A study
recipe: toy/translation
with: {data-dir: here}
variants:
  baseline:
  elu1: --attention-kernel elu1
  wide: {variant: neuralqkv, options: {attention-r: 4, fp16: true}, budget: own}
seeds: 1-3
budget: {equal: operations, to: baseline, tolerance: 0.01}
tune:
  seeds: [101, 102]
  grid: {lr: [1e-3, 0.005], attention-init: [paper, xavier]}
  length-penalty: [0.5, 1]
"""


def written(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def test_a_study(tmp_path):
    study = load_study(written(tmp_path, GOOD), ROOT)
    assert study.recipe == ROOT / "examples/toy/translation.sh"
    assert (study.title, study.seeds, study.baseline, study.test) == ("A study", (1, 2, 3), "baseline", "test")
    assert study.recipe_options == ("--data-dir", "here")
    baseline, elu1, wide = study.variants.values()
    assert (baseline.options, baseline.budget) == ((), None)
    assert elu1.options == ("--attention-kernel", "elu1")
    assert (elu1.budget.quantity, elu1.budget.to, elu1.budget.tolerance) == ("operations", "baseline", 0.01)
    assert (wide.variant, wide.options, wide.budget) == ("neuralqkv", ("--attention-r", "4", "--fp16"), None)
    trials = study.tuning.trials()
    assert [option_words(trial) for trial in trials] == [
        ["--lr", lr, "--attention-init", init] for lr in ("0.001", "0.005") for init in ("paper", "xavier")
    ]
    assert (study.tuning.seeds, study.tuning.length_penalties) == ((101, 102), (0.5, 1.0))


#: what is exchanged in the file -> line and sentence of the error
WRONG = {
    ("title:", "tittle:"): "1: unknown key tittle; did you mean title?",
    ("recipe: toy/translation", "recipe: toy/translatoin"): "2: recipe toy/translatoin: no such script",
    ("recipe: toy/translation\n", ""): " a study needs recipe:",
    ("seeds: 1-3", "seeds: 1-x"): "8: seeds are numbers such as 1-5 or [1, 2, 3], not '1-x'",
    ("seeds: 1-3", "seeds: [1, 2, 1]"): "8: seed 1 stands there twice",
    ("seeds: [101, 102]", "seeds: [101, 2]"): "11: seed 2 is one of the study's; tune with others",
    ("  elu1: --attention-kernel elu1", "  elu1: attention-kernel elu1"): "6: elu1 are options, which begin with --",
    ("  elu1:", "  baseline:"): "6: baseline stands there twice (also ",
    ("  elu1:", "  elu1-seed3:"): "6: 'elu1-seed3' ends as the seed of a run does",
    ("  elu1:", "  'e/1':"): "6: 'e/1' is no name for runs",
    ("budget: own}", "budgets: own}"): "7: unknown key budgets; did you mean budget?",
    ("equal: operations", "equal: watts"): "9: equal: is to be one of parameters, operations, seconds, not 'watts'",
    ("to: baseline", "to: nobody"): "9: no variant 'nobody' to take the budget of; there are baseline, elu1, wide",
    ("to: baseline", "to: elu1"): None,
    ("budget: own", "budget: {equal: parameters, to: elu1}"): "7: wide is to meet the budget of elu1, which itself is",
    ("tolerance: 0.01", "tolerance: 2"): "9: tolerance is a fraction such as 0.005, not 2",
    ("lr: [1e-3, 0.005]", "lr: 0.005"): "12: lr is to be a list of values to try, each once",
    ("length-penalty: [0.5, 1]", "length-penalty: [0.5, much]"): "13: length-penalty is a list of numbers",
    ("with: {data-dir: here}", "with: {data-dir: here"): "no YAML",
    ("seeds: 1-3", "seeds: !!python/object:os.system 1"): "8: text, numbers, lists and mappings alone, not os.system",
    ("  baseline:\n", ""): "the baseline 'baseline' is none of the variants elu1, wide",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change[1].strip()[:30] or change[0].strip())
def test_what_is_wrong_is_said_with_its_line(change, tmp_path):
    path = written(tmp_path, GOOD.replace(*change))
    if WRONG[change] is None:
        assert load_study(path, ROOT).variants["elu1"].budget is None, "it is what the others are to meet"
        return
    with pytest.raises(UserError) as error:
        load_study(path, ROOT)
    line, colon, sentence = WRONG[change].partition(": ")
    expected = f"{path}:{line}{colon}{sentence}" if line.isdigit() else WRONG[change]
    assert expected in str(error.value)


def test_seeds():
    assert read_seeds("1-3,7", "x") == (1, 2, 3, 7)
    assert read_seeds(4, "x") == (4,)
    with pytest.raises(UserError, match=r"at least|numbers"):
        read_seeds([], "x")


def test_the_studies_of_the_examples(monkeypatch, tmp_path):
    """They can be read; GLUE's checkpoints are those that its head says how to train."""
    monkeypatch.chdir(tmp_path)
    found = sorted((ROOT / "examples").glob("*/*.yaml"))
    assert len(found) >= 6
    for path in found:
        text = path.read_text()
        for line in text.splitlines():
            if "checkpoint: " in line:
                checkpoint = Path(line.partition("checkpoint: ")[2].rstrip("}"))
                checkpoint.parent.mkdir(parents=True)
                checkpoint.touch()
        study = load_study(path, ROOT)
        assert study.question
        assert len(study.variants) >= 3
        assert len(study.seeds) == 5
