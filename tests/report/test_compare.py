"""compare: its scores against sacreBLEU's own commands, its differences against the test that a study makes."""

import csv
import json
import math
import random
import re
import subprocess
import sys

import pytest
from pipeline_tools import ROOT, environment, sentences
from scipy import stats

from fairseq_plugins import cli
from fairseq_plugins.report.runs import read_log
from fairseq_plugins.report.statistics import mean_deviation


def write_run(folder, hypotheses, reference, seed=1, parameters="1,234", losses=((10, 5.0), (20, 4.5)), **more):
    """What train.sh, generate.sh and score.sh leave, as far as compare reads it."""
    generated = folder / "gen.test"
    generated.mkdir(parents=True)
    name = folder.name.split("-seed")[0]
    (folder / "run.json").write_text(json.dumps({"arch": f"transformer_{name}", "seed": str(seed)}))
    (folder / "done").write_text(json.dumps({"updates": 20, "seconds": 90.0, **more}))
    log = [f"2026-01-01 00:00:00 | INFO | fairseq_cli.train | num. shared model params: {parameters} (num. trained: 1)"]
    for updates, loss in losses:
        stats = {"epoch": 1, "valid_loss": str(loss), "valid_num_updates": str(updates)}
        log.append(f"2026-01-01 00:00:00 | INFO | valid | {json.dumps(stats)}")
    (folder / "train.log").write_text("\n".join(log) + "\n")
    (generated / "hyp.detok.en").write_text("".join(f"{line}\n" for line in hypotheses), encoding="utf-8")
    score = {"hypotheses": str(generated / "hyp.detok.en"), "reference": str(reference), "metrics": {"BLEU": {}}}
    (generated / "score.json").write_text(json.dumps(score))
    return str(folder)


def corrupted(lines, share, seed):
    """The lines with a share of their words replaced."""
    rng = random.Random(seed)
    return [" ".join("what" if rng.random() < share else word for word in line.split()) for line in lines]


@pytest.fixture
def runs(tmp_path):
    """Two models under three seeds each, the second one clearly better; a folder name with a space."""
    lines = [english for _, english in sentences(80, 3)]
    reference = tmp_path / "test.en"
    reference.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    folders = []
    for name, share in (("baseline", 0.3), ("neuralqkv", 0.15)):
        for seed in (1, 2, 3):
            folder = tmp_path / "all runs" / f"{name}-seed{seed}"
            folders.append(write_run(folder, corrupted(lines, share, 10 * seed), reference, seed=seed))
    return folders, reference


def test_mean_and_deviation():
    # by hand: mean 4; squared distances 4 + 0 + 4 = 8; 8 / (3 - 1) = 4; root 2
    assert mean_deviation([2.0, 4.0, 6.0]) == (4.0, 2.0)
    # mean 35.5, distances 0.5 and 0.5: root of 0.5 / 1
    mean, deviation = mean_deviation([35.0, 36.0])
    assert (mean, deviation) == (35.5, pytest.approx(math.sqrt(0.5), abs=1e-15))
    assert mean_deviation([7.25]) == (7.25, None)


def sacrebleu_command(*arguments):
    command = [sys.executable, "-m", "sacrebleu", *map(str, arguments), "-m", "bleu", "chrf", "-w", "6"]
    environ = {name: value for name, value in environment().items() if name != "SACREBLEU_SEED"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout


def sacrebleu_paired(reference, systems, samples):
    """{metric: (score of the first, score of the second, p)} out of sacreBLEU's table, which has no JSON on numpy 2."""
    table = sacrebleu_command(
        reference, "-i", *systems, "--paired-bs", "--paired-bs-n", samples, "--format", "text"
    ).split("Paired bootstrap")[0]
    first, second = (re.findall(r"│ +([\d.]+) \(", line) for line in table.splitlines() if "hyp.detok.en │" in line)
    p_values = re.findall(r"\(p = ([\d.]+)\)", table)
    columns = zip(("BLEU", "chrF2"), zip(first, second, p_values))
    return {metric: tuple(map(float, values)) for metric, values in columns}


def test_scores_and_the_paired_bootstrap_are_sacrebleus(runs, capsys, tmp_path):
    folders, reference = runs
    assert cli.main(["compare", *folders, "--json", str(tmp_path / "table.json"), "--samples", "300"]) == 0
    table = capsys.readouterr().out
    results = json.loads((tmp_path / "table.json").read_text())
    variants = {variant["name"]: variant for variant in results["variants"]}
    assert list(variants) == ["baseline", "neuralqkv"]
    signatures = {metric["name"]: metric["signature"] for metric in results["metrics"]}

    for name, variant in variants.items():
        for place, run in enumerate(variant["runs"]):
            direct = sacrebleu_command(reference, "-i", f"{run['folder']}/gen.test/hyp.detok.en", "--format", "json")
            for metric in json.loads(direct):
                found = variant["scores"][metric["name"]]["per_seed"][place]
                assert found == pytest.approx(metric["score"], abs=1e-6), name
                assert signatures[metric["name"]] == metric["signature"]

    bootstrap = results["paired_bootstrap"]["variants"]["neuralqkv"]
    for seed in (1, 2, 3):
        systems = [f"{folder}/gen.test/hyp.detok.en" for folder in folders if folder.endswith(f"seed{seed}")]
        direct = sacrebleu_paired(reference, systems, 300)
        for metric in ("BLEU", "chrF2"):
            (test,) = [t for t in bootstrap[metric] if t["seed"] == seed]
            first, second, p_value = direct[metric]
            assert test["p_value"] == pytest.approx(p_value, abs=5.1e-5)
            assert test["difference"] == pytest.approx(second - first, abs=1e-5)
            assert test["p_value"] < 0.05 < test["difference"]
            assert f"{metric} +{test['difference']:.2f} (p = {p_value:.3f}) with seed {seed}" in table

    bleu = variants["neuralqkv"]["scores"]["BLEU"]["per_seed"]
    mean = sum(bleu) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in bleu) / 2)
    assert f"| neuralqkv | 3 | 1,234 | {mean:.2f} ± {deviation:.2f} |" in table
    assert "Such a p is about these two runs alone" in table
    assert "bs:300|seed:12345".replace("|", "\\|") in table


def test_differences_are_tested_over_the_seeds(runs, capsys, tmp_path):
    """These runs differ by nothing but their noise, so that the test over seeds and sentences is Welch's over seeds."""
    folders, _ = runs
    assert cli.main(["compare", *folders, "--json", str(tmp_path / "table.json")]) == 0
    table = capsys.readouterr().out
    results = json.loads((tmp_path / "table.json").read_text())
    baseline, other = results["variants"]
    for metric in ("BLEU", "chrF2"):
        scores = [variant["scores"][metric]["per_seed"] for variant in (other, baseline)]
        welch = stats.ttest_ind(*scores, equal_var=False)
        found = other["against_baseline"][metric]
        assert found["shares"] == {"seeds": 1, "units": 0}
        assert found["difference"] / found["standard_error"] == pytest.approx(welch.statistic, rel=1e-9)
        p = 2 * stats.t.sf(welch.statistic, found["df"])
        assert found["p"] == found["p_holm"] == pytest.approx(p, rel=1e-9)
        reach = found["standard_error"] * stats.t.isf(0.025, found["df"])
        assert (found["low"], found["high"]) == pytest.approx(
            (found["difference"] - reach, found["difference"] + reach), rel=1e-9
        )
        assert f"| {metric} | neuralqkv | +{found['difference']:.2f} |" in table
    assert "neuralqkv is better than baseline: BLEU +" in table
    assert "paired_bootstrap" not in results


def test_a_run_against_itself_is_no_difference(tmp_path, capsys):
    """sacreBLEU itself gives equal systems its smallest p-value."""
    lines = [english for _, english in sentences(30, 3)]
    (tmp_path / "ref").write_text("".join(f"{line}\n" for line in lines))
    hypotheses = corrupted(lines, 0.2, 1)
    folders = [write_run(tmp_path / name, hypotheses, tmp_path / "ref") for name in ("baseline", "twin")]
    assert cli.main(["compare", *folders, "--json", str(tmp_path / "table.json"), "--samples", "100"]) == 0
    table = capsys.readouterr().out
    results = json.loads((tmp_path / "table.json").read_text())
    for tests in results["paired_bootstrap"]["variants"]["twin"].values():
        assert tests == [{"seed": 1, "difference": 0, "p_value": 1}]
    # one seed each: no test of the models, and the table says so
    assert results["variants"][1]["against_baseline"] is None
    assert "twin was not tested: one seed says nothing of what other seeds would give" in table
    assert "Differences to the baseline" not in table


def test_files_and_choice_of_the_baseline(runs, capsys, tmp_path):
    folders, _ = runs
    assert cli.main(["compare", *folders, "--baseline", "neuralqkv", "--csv", str(tmp_path / "t.csv")]) == 0
    assert "Differences are those to neuralqkv;" in capsys.readouterr().out
    with open(tmp_path / "t.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "BLEU"]
    assert [row["folder"] for row in rows] == folders[3:] + folders[:3]
    assert {row["parameters"] for row in rows} == {"1234"}


def test_page_of_runs_with_other_seeds(runs, capsys, tmp_path):
    """Two seeds against three; the report is there, and its numbers are those of the table."""
    folders, _ = runs
    files = ["--page", str(tmp_path / "page"), "--json", str(tmp_path / "table.json")]
    assert cli.main(["compare", *folders[1:], *files]) == 0
    assert capsys.readouterr().out == (tmp_path / "page" / "report.md").read_text()
    results = json.loads((tmp_path / "page" / "results.json").read_text())
    assert results == json.loads((tmp_path / "table.json").read_text())
    assert [variant["seeds"] for variant in results["variants"]] == [[2, 3], [1, 2, 3]]
    page = (tmp_path / "page" / "report.html").read_text()
    assert results["verdict"]["headline"] in page
    assert len(results["analysis"]["sentences"]["neuralqkv"]) == 20
    times = json.loads((tmp_path / "page" / "times.json").read_text())
    assert times["wall_seconds"] == 5 * 90


def test_one_model_alone_has_means(runs, capsys, tmp_path):
    folders, _ = runs
    assert cli.main(["compare", *folders[:2], "--page", str(tmp_path / "page")]) == 0
    table = capsys.readouterr().out
    assert table.startswith("# baseline\n\n**BLEU: nothing to compare**\n")
    assert re.search(r"^\| baseline \| 2 \| 1,234 \| [\d.]+ ± [\d.]+ \|", table, re.M)
    assert "nothing to compare" in (tmp_path / "page" / "report.html").read_text()


def test_plot(runs, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folders, _ = runs
    assert cli.main(["compare", *folders, "--plot", str(tmp_path / "loss.png")]) == 0
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_curve_of_a_resumed_run(tmp_path):
    write_run(tmp_path / "a", ["x"], tmp_path / "ref", losses=((10, 5.0), (20, 4.5), (10, 5.5), (30, 4.0)))
    parameters, curve = read_log(str(tmp_path / "a" / "train.log"))
    assert parameters == 1234
    assert curve == [(10, 5.5), (20, 4.5), (30, 4.0)]


def broken(folder, what):
    if what == "unfinished":
        (folder / "done").unlink()
    elif what == "unscored":
        (folder / "gen.test" / "score.json").unlink()
    elif what == "no run":
        (folder / "run.json").unlink()
    elif what == "short":
        (folder / "gen.test" / "hyp.detok.en").write_text("only one\n")
    elif what == "damaged":
        (folder / "done").write_text("{")
    elif what == "no parameters":
        (folder / "train.log").write_text("")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("unfinished", "done: the training is not finished; go on with --resume"),
        ("unscored", "score.json: score it with scripts/score.sh"),
        ("no run", "run.json: train with scripts/train.sh"),
        ("short", "hyp.detok.en has 1 lines but"),
        ("damaged", "done is damaged"),
        ("no parameters", "does not say how many parameters"),
    ],
)
def test_what_is_missing_is_named(tmp_path, capsys, what, message):
    (tmp_path / "ref").write_text("a\nb\n")
    folder = write_run(tmp_path / "baseline-seed1", ["a", "b"], tmp_path / "ref")
    broken(tmp_path / "baseline-seed1", what)
    assert cli.main(["compare", folder]) == 1
    assert message in capsys.readouterr().err


def test_what_does_not_belong_together_is_refused(tmp_path, capsys):
    (tmp_path / "ref").write_text("a b c d e\nb\n")
    (tmp_path / "other").write_text("a b c d e\nc\n")
    a = write_run(tmp_path / "x" / "baseline-seed1", ["a b c d e", "b"], tmp_path / "ref")
    twin = write_run(tmp_path / "y" / "baseline-seed1", ["a b c d e", "b"], tmp_path / "ref")
    b = write_run(tmp_path / "other-seed1", ["a b c d e", "b"], tmp_path / "other")
    big = write_run(tmp_path / "baseline-seed2", ["a b c d e", "b"], tmp_path / "ref", seed=2, parameters="9")
    for folders, message in (
        ([a, twin], "are both 'baseline' with seed 1"),
        ([a, b], "scored on different references"),
        ([a, big], "differ in size"),
        ([a, "--baseline", "none"], "--baseline none: choose from baseline"),
    ):
        assert cli.main(["compare", *folders]) == 1
        assert message in capsys.readouterr().err


def test_reference_can_have_moved(tmp_path, capsys):
    (tmp_path / "ref").write_text("a b c d e\nb\n")
    folder = write_run(tmp_path / "baseline", ["a b c d e", "b"], tmp_path / "ref")
    (tmp_path / "ref").rename(tmp_path / "moved")
    assert cli.main(["compare", folder]) == 1
    assert "no file" in capsys.readouterr().err
    assert cli.main(["compare", folder, "--reference", str(tmp_path / "moved")]) == 0
    assert "| baseline | 1 | 1,234 | 100.00 |" in capsys.readouterr().out


def test_results_know_nothing_of_models():
    """The statistics are usable without torch."""
    paths = list((ROOT / "fairseq_plugins" / "report").rglob("*.py"))
    assert len(paths) > 5
    for path in paths:
        assert "torch" not in path.read_text(), path
