"""Whole studies of the smallest models: one file in, one page out, whatever happens on the way."""

import json
import os
import re
import shutil
import subprocess

import pytest
from pipeline_tools import ROOT, environment
from study_kills import Study, disturbed
from zygote import quick_python

pytest.importorskip("tokenizers")

MASKED_LM = """\
title: Small masked LMs
recipe: symmetric_attention/wikitext2
variants:
  baseline:
  pairwise:
seeds: 1
budget: {equal: parameters, tolerance: 0.2}
tune:
  seeds: [9]
  grid: {lr: [0.001, 0.01]}
"""
TRANSLATION = """\
recipe: toy/translation
variants:
  baseline:
  elu1: --attention-kernel elu1
seeds: 5
tune:
  seeds: [9]
  length-penalty: [0.5, 1.5]
"""


SMOKE = ("--cpu", "--smoke", "--jobs", "2")


def study(path, *options, status=0, smoke=SMOKE):
    """A study in a fork of this process; what it prints comes back after checking its status."""
    done = Study([path, *smoke, *options], environment(PYTHON=str(quick_python())))
    found = done.wait()
    assert found == status, done.said()
    return done.said()


def results_of(out):
    return json.loads((out / "report" / "results.json").read_text())


def test_a_study_from_its_first_kill_to_a_run_more(tmp_path):
    """One study, made once: a test for each part would have it made in every process that takes one."""
    folder, undisturbed, reports, said = made_with_kills(tmp_path / "masked_lm")
    assert all(killed == undisturbed for killed in reports), said
    assert {"results.json", "results.csv", "report.md", "report.tex", "figures/curves.svg"} <= set(undisturbed)
    more_seeds_and_a_run_that_fails(folder)
    assert (folder / "out" / "report" / "report.html").stat().st_size < 2e6
    check_results(folder / "out")
    another_study_in_its_folder_is_refused(folder, tmp_path)


def made_with_kills(folder):
    """A study, made undisturbed and again with a kill of either kind: the folder, both reports, what was done."""
    folder.mkdir()
    (folder / "study.yaml").write_text(MASKED_LM)
    words = [folder / "study.yaml", *SMOKE, "--out", folder / "out", "--with", "data-dir", folder / "data"]
    said = []
    moments = [(0.3, False), (0.4, True)]
    found = disturbed(words, folder / "out", moments, environment(PYTHON=str(quick_python())), said.append)
    return folder, *found, said


def check_results(out):
    """What its results hold is what its runs have left."""
    results = results_of(out)
    baseline, pairwise = results["variants"]
    assert (baseline["name"], baseline["seeds"], pairwise["seeds"]) == ("baseline", [1, 2], [1, 2])
    for variant in results["variants"]:
        for seed, score in zip((1, 2), variant["scores"]["loss"]["per_seed"]):
            said = json.loads((out / "runs" / f"{variant['name']}-seed{seed}" / "run.json").read_text())
            assert said["arch"] == f"roberta_{variant['name']}_tiny"
            command = said["command"]
            chosen = next(v for v in results["tuning"]["variants"] if v["name"] == variant["name"])["trials"]
            best = min(chosen, key=lambda trial: trial["loss"])
            assert [trial["chosen"] for trial in chosen] == [trial is best for trial in chosen]
            # the last of an option counts
            rates = [word for at, word in enumerate(command) if command[at - 1] == "--lr"]
            assert rates[-1] == str(best["options"]["lr"])
            assert score > 1
    found = pairwise["against_baseline"]["loss"]
    means = [variant["scores"]["loss"]["mean"] for variant in results["variants"]]
    assert found["difference"] == pytest.approx(means[1] - means[0])
    assert found["low"] < found["difference"] < found["high"]
    assert results["control"]["data"]["same"]
    assert set(results["control"]["data"]["fingerprints"]) == {"1", "2"}
    assert results["control"]["budget"]["variants"]["pairwise"]["to"] == "baseline"
    assert {run["folder"] for variant in results["variants"] for run in variant["runs"]} == {
        f"runs/{name}-seed{seed}" for name in ("baseline", "pairwise") for seed in (1, 2)
    }
    assert "--resume --until train" in baseline["runs"][0]["command"]


def more_seeds_and_a_run_that_fails(folder):
    """One that fails is told with its last lines and missing in the report; the same command does it again."""
    out, data = folder / "out", ("--with", "data-dir", folder / "data")
    blocked = out / "runs" / "pairwise-seed2"
    blocked.mkdir()
    (blocked / "checkpoint_last.pt").write_text("no checkpoint")
    (blocked / "done").mkdir()
    options = (folder / "study.yaml", "--out", out, *data)
    said = study(*options, "--add-seeds", "2", status=1)
    assert "pairwise seed 2 failed" in said
    assert "1 runs are missing in the report" in said
    (missing,) = results_of(out)["missing"]
    assert (missing["variant"], missing["seed"]) == ("pairwise", 2)
    assert missing["last_lines"]
    assert results_of(out)["variants"][0]["seeds"] == [1, 2]
    page = (out / "report" / "report.html").read_text()
    assert "pairwise" in page.partition("Missing runs")[2].partition("</section>")[0]
    (blocked / "done").rmdir()
    (blocked / "checkpoint_last.pt").unlink()
    assert "missing" not in study(*options), "the seeds that were added stay"
    assert [variant["seeds"] for variant in results_of(out)["variants"]] == [[1, 2]] * 2
    assert "--add-seeds: seed 9 is one that the tuning uses" in study(*options, "--add-seeds", "9", status=1)


def another_study_in_its_folder_is_refused(folder, tmp_path):
    """By the line that differs."""
    other = tmp_path / "study.yaml"
    other.write_text(MASKED_LM.replace("[0.001, 0.01]", "[0.001, 0.02]"))
    said = study(other, "--out", folder / "out", "--with", "data-dir", folder / "data", status=1)
    assert re.search(r"study.yaml:4: trial of baseline \(--lr 0.02\) seed 9 was done by another command", said)
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def of_ones_own(tmp_path_factory):
    """A copy of the project with the choice of docs/adding-a-variant.md: one file, and one line."""
    copy = tmp_path_factory.mktemp("of ones own")
    for folder in ("fairseq_plugins", "scripts", "examples"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    room = copy / "fairseq_plugins" / "attention" / "compare"
    page = (ROOT / "docs" / "adding-a-variant.md").read_text()
    (room / "cosine.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    init = room / "__init__.py"
    init.write_text(init.read_text().replace("from . import ", "from . import cosine, "))
    return copy


def test_translation_with_a_choice_of_ones_own_and_a_length_penalty_that_validation_chooses(of_ones_own):
    """With one seed there is no test, and the report says so; a report of what is there before the rest is."""
    line = "  cosine: {variant: baseline, options: --attention-compatibility cosine}"
    text = TRANSLATION.replace("  elu1: --attention-kernel elu1", line)
    (of_ones_own / "mine.yaml").write_text(text)

    def typed(*options, status=0):
        command = ["bash", str(of_ones_own / "scripts/study.sh"), "mine.yaml", *SMOKE, *options]
        python = environment(PYTHON=str(quick_python()))
        done = subprocess.run(command, cwd=of_ones_own, env=python, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    typed("--only", "baseline", status=1)
    assert "nothing to compare yet: 1 of 2 runs are done" in typed("--report", status=1)
    said = typed()
    assert re.search(r"BLEU: no test of cosine\n  No test of cosine against baseline: one seed says nothing", said)
    out = of_ones_own / "runs" / "study-mine-smoke"
    results = results_of(out)
    for variant, tuned in zip(results["variants"], results["tuning"]["variants"]):
        (chosen,) = (row for row in tuned["length_penalty"] if row["chosen"])
        assert chosen["score"] == max(row["score"] for row in tuned["length_penalty"])
        assert {row["value"] for row in tuned["length_penalty"]} == {0.5, 1.5}
        command = (out / "runs" / f"{variant['name']}-seed5" / "gen.test" / "command.sh").read_text()
        assert f"--lenpen {chosen['value']:g} " in command
        assert variant["length_ratio"]["mean"] > 0
    score = json.loads((out / "runs/cosine-seed5/gen.test/score.json").read_text())["metrics"]["BLEU"]["score"]
    assert results["variants"][1]["scores"]["BLEU"]["mean"] == pytest.approx(score, abs=0.01)
    assert {"word_frequency", "source_length", "ngrams", "sentences"} <= set(results["analysis"])
    # the choice of one's own is that of the second model, and of that one alone
    assert [variant["name"] for variant in results["variants"]] == ["baseline", "cosine"]
    assert results["variants"][1]["options"] == ["--attention-compatibility", "cosine"]
    logs = [(out / "runs" / f"{name}-seed5" / "train.log").read_text() for name in ("baseline", "cosine")]
    losses = [re.findall(r'"valid_loss": "([\d.]+)"', log) for log in logs]
    assert losses[0] != losses[1] != []
    assert str(of_ones_own) not in (out / "report" / "report.html").read_text(), "as it is typed"


def test_plans_and_dry_runs_write_nothing(tmp_path):
    (tmp_path / "study.yaml").write_text(TRANSLATION)
    out = tmp_path / "out"
    plan = study(tmp_path / "study.yaml", "--out", out, "--plan")
    assert "runs         2: 2 variants (baseline, elu1) x 1 seeds" in plan
    assert "tuning       2 trials: 1 settings x 1 seeds for every variant, 4 translations" in plan
    assert re.search(r"time         about \d+:\d\d:\d\d of training", plan)
    shown = study(tmp_path / "study.yaml", "--out", out, "--dry-run")
    commands = [line for line in shown.splitlines() if line.startswith("bash ")]
    assert len(commands) == 1 + 2 + 2
    assert "--attention-kernel elu1" in commands[-1]
    assert not out.exists()


#: a line of the file -> what is said of it before anything runs
REFUSED = {
    "  elu1: --attention-kernel elu2": "study.yaml:4: .*elu2",
    "  elu1: --attention-kernl elu1": "study.yaml:4: .*unrecognized arguments: --attention-kernl",
    "  elu1: --lr 0.1": r"study.yaml:4: elu1 sets --lr, which translation.sh sets for every variant \(to 0.005\)",
    "  elu1: {variant: transformer}": "study.yaml:4: --variant transformer: choose one of neuralqkv baseline",
    "  elu1: --seed 3": "study.yaml:4: .*--seed",
    "  elu1: {variant: neuralqkv, budget: {equal: parameters}}": "study.yaml:4: elu1 takes .* even with feed-forward "
    "layers of width 1",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_no_run_could_do_is_refused_before_any(line, tmp_path):
    (tmp_path / "study.yaml").write_text(TRANSLATION.replace("  elu1: --attention-kernel elu1", line))
    options = ["--out", tmp_path / "out", "--with", "data-dir", tmp_path / "data"]
    said = study(tmp_path / "study.yaml", *options, status=1, smoke=["--cpu"])
    assert re.search(REFUSED[line], said), said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "jobs").exists()
    assert os.listdir(tmp_path) == ["study.yaml"]
