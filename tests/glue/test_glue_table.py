"""The table from evaluations that were written down here: means, deviations, what is averaged, what is named."""

import csv
import json
import shutil
import statistics

import pytest

from fairseq_plugins import cli
from fairseq_plugins.glue.table import NINE, load_model, summarise
from fairseq_plugins.glue.tasks import DEV_SETS

SETTINGS = {"parameters": 1234567, "lr": 1e-5, "epochs": 5, "batch": 16, "options": []}
#: scores (0 to 1) of three seeds
COLA = {1: 0.5, 2: 0.25, 3: 0.6}
RTE = {1: 0.55, 2: 0.5, 3: 0.7}


def write_model(folder, settings=SETTINGS, notes=(), **scores):
    """A folder of runs; ``scores``: development set (- as _) -> seed -> score."""
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, seeds in scores.items():
        name = name.replace("_", "-")
        for seed, score in seeds.items():
            run = folder / f"{DEV_SETS[name].name}-seed{seed}"
            run.mkdir(exist_ok=True)
            (run / "run.json").write_text("{}")
            found = {"rows": 10, "metrics": {"accuracy": score}, "score": score, "notes": list(notes)}
            path = run / "evaluation.json"
            known = json.loads(path.read_text())["sets"] if path.exists() else {}
            path.write_text(json.dumps({"seed": seed, "sets": {**known, name: found}}))
    return folder


def table(capsys, *arguments):
    status = cli.main(["glue-table", *map(str, arguments)])
    output = capsys.readouterr()
    assert status == 0, output.err
    return output.out


def row(text, model):
    """The cells of a model's row by the names in the header."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return dict(zip(lines[0], next(line for line in lines[2:] if line[0] == model)))


def nine(base):
    return {name.replace("-", "_"): {1: base + k / 100, 2: base + k / 50} for k, name in enumerate(NINE)}


def test_mean_deviation_median_and_number(tmp_path, capsys):
    text = table(capsys, write_model(tmp_path / "pairwise", CoLA=COLA, RTE=RTE))
    cells = row(text, "pairwise")
    for name, scores in (("CoLA", COLA), ("RTE", RTE)):
        percent = [100 * score for score in scores.values()]
        mean, deviation = statistics.mean(percent), statistics.stdev(percent)
        assert cells[name] == f"{mean:.2f} ± {deviation:.2f} ({statistics.median(percent):.2f}; 3)"
    averages = [100 * (COLA[seed] + RTE[seed]) / 2 for seed in COLA]
    expected = f"{statistics.mean(averages):.2f} ± {statistics.stdev(averages):.2f}"
    assert cells["avg of 2"] == f"{expected} ({statistics.median(averages):.2f}; 3)"
    assert cells["parameters"] == "1,234,567"
    assert "- Missing: MRPC, MNLI-m, MNLI-mm, QQP, STS-B, QNLI, SST-2." in text
    assert "The average is over CoLA, RTE: not the papers' 9 columns" in text
    assert "- Fine-tuning: 5 epochs, learning rate 1e-05, batches of 16." in text


def test_nine_columns_are_the_average(tmp_path, capsys):
    scores = nine(0.6)
    text = table(capsys, write_model(tmp_path / "base", **scores, WNLI={1: 0.1, 2: 0.1}))
    cells = row(text, "base")
    assert list(cells) == ["model", "parameters", "avg", *NINE, "WNLI"]
    averages = [100 * statistics.mean(seeds[seed] for seeds in scores.values()) for seed in (1, 2)]
    assert cells["avg"].startswith(f"{statistics.mean(averages):.2f} ± {statistics.stdev(averages):.2f} (")
    assert "WNLI is left out of the average" in text
    assert "Missing" not in text
    assert "cannot be compared" not in text


def test_only_what_all_models_have_is_averaged(tmp_path, capsys):
    first = write_model(tmp_path / "first", CoLA=COLA, RTE=RTE)
    second = write_model(tmp_path / "second", {**SETTINGS, "epochs": 3, "options": ["--fp16"]}, CoLA={1: 0.1})
    text = table(capsys, first, f"other={second}")
    assert row(text, "first")["avg of 1"] == row(text, "first")["CoLA"]
    assert row(text, "other")["CoLA"] == "10.00 (10.00; 1)"
    assert row(text, "other")["RTE"] == "-"
    assert "- Fine-tuning of first: 5 epochs, learning rate 1e-05, batches of 16." in text
    assert "- Fine-tuning of other: 3 epochs, learning rate 1e-05, batches of 16, --fp16." in text


def test_unequal_seeds_have_no_deviation_of_the_average(tmp_path, capsys):
    text = table(capsys, write_model(tmp_path / "model", CoLA=COLA, RTE={1: 0.5}))
    assert row(text, "model")["avg of 2"] == f"{100 * (statistics.mean(COLA.values()) + 0.5) / 2:.2f}"


def test_unfinished_runs_and_notes_are_named(tmp_path, capsys):
    folder = write_model(tmp_path / "model", notes=["every prediction is '1'"], CoLA=COLA)
    (folder / "RTE-seed2").mkdir()
    (folder / "RTE-seed2" / "run.json").write_text("{}")
    text = table(capsys, folder)
    assert "- model: not finished: RTE-seed2." in text
    assert "- model, CoLA, seeds 1, 2, 3: every prediction is '1'." in text


def test_files(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folder = write_model(tmp_path / "model", **nine(0.5))
    files = [tmp_path / f"table.{kind}" for kind in ("json", "csv", "png", "svg")]
    for image in files[2:]:
        table(capsys, folder, "--json", files[0], "--csv", files[1], "--plot", image)
    summary = json.loads(files[0].read_text())
    assert summary == json.loads(json.dumps(summarise([load_model(folder)])))
    assert (summary["averaged"], summary["missing"]) == (NINE, [])
    lines = list(csv.DictReader(files[1].open()))
    assert len(lines) == 2 * len(NINE)
    assert lines[0] == {"model": "model", "set": "MRPC", "seed": "1", "score": "50.0000", "metrics": "accuracy=50.0000"}
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert all(name in files[3].read_text() for name in ("<svg", "MNLI-mm"))


def test_refusals(tmp_path, capsys):
    model = write_model(tmp_path / "model", CoLA=COLA)
    twice = write_model(tmp_path / "twice", CoLA=COLA)
    shutil.copytree(twice / "CoLA-seed1", twice / "again")
    damaged = write_model(tmp_path / "damaged", CoLA={1: 0.5})
    (damaged / "CoLA-seed1" / "evaluation.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([tmp_path / "none"], "no folder"),
        ([tmp_path / "empty"], "no finished run in it; fine-tune with examples/symmetric_attention/glue.sh first"),
        ([damaged], "CoLA-seed1/evaluation.json is damaged"),
        ([twice], "two runs of CoLA with seed 1; remove one of them"),
        ([model, f"model={model}"], "two models are called 'model'; give NAME=FOLDER"),
    ):
        assert cli.main(["glue-table", *map(str, arguments)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("glue-table: error: ")
        assert message in error
