"""The table of evaluations that were made up here: means, deviations, what is averaged, tested and named."""

import csv
import importlib.util
import json
import math
import shutil
import statistics

import numpy as np
import pytest

from fairseq_plugins import cli
from fairseq_plugins.glue.metrics import score
from fairseq_plugins.glue.table import NINE
from fairseq_plugins.glue.tasks import DEV_SETS

# found and not imported: every worker collects this file
pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("sklearn") and importlib.util.find_spec("scipy")), reason="no sklearn or scipy"
)
SETTINGS = {"parameters": 1234567, "lr": 1e-5, "epochs": 5, "batch": 16, "options": []}


def answers(task, draw, wrong, size=30):
    """Predictions and targets; the latter are the same for every model."""
    truth = np.random.default_rng(1)
    targets = truth.integers(0, 26, size) / 5 if task.is_regression else truth.choice(task.classes, size)
    others = draw.permutation(targets)
    return np.where(draw.random(size) < wrong, others, targets).tolist(), targets.tolist()


def write_model(folder, settings=SETTINGS, notes=(), wrong=0.4, **seeds):
    """A folder of runs; ``seeds``: development set (- as _) -> seeds; returns it."""
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, of_set in seeds.items():
        name = name.replace("_", "-")
        task = DEV_SETS[name]
        for seed in of_set:
            run = folder / f"{task.name}-seed{seed}"
            run.mkdir(exist_ok=True)
            (run / "run.json").write_text(json.dumps({"arch": "roberta_base", "seed": "9", "command": ["train", name]}))
            (run / "done").write_text(json.dumps({"updates": 20, "seconds": 30.0}))
            (run / "train.log").write_text("num. shared model params: 9 (num. trained: 9)\n")
            draw = np.random.default_rng([seed, *name.encode(), *folder.name.encode()])
            predictions, targets = answers(task, draw, wrong)
            found = {"rows": 30, **score(task, predictions, targets)._asdict(), "notes": list(notes)}
            add(run / "predictions.json", {name: {"predictions": predictions, "targets": targets}})
            add(run / "evaluation.json", {"seed": seed, "sets": {**known(run).get("sets", {}), name: found}})
    return folder


def known(run):
    path = run / "evaluation.json"
    return json.loads(path.read_text()) if path.exists() else {}


def add(path, content):
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, **content}))


def percent(folder, name, seeds):
    """What evaluations say, which scikit-learn and scipy computed."""
    task = DEV_SETS[name]
    return [100 * known(folder / f"{task.name}-seed{seed}")["sets"][name]["score"] for seed in seeds]


def told(values):
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}".replace("-", "\N{MINUS SIGN}")


def table(capsys, *arguments):
    status = cli.main(["glue-table", *map(str, arguments)])
    output = capsys.readouterr()
    assert status == 0, output.err
    return output.out


def row(text, model):
    """The cells of a model's row by the names in the header."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return dict(zip(lines[0], next(line for line in lines[2:] if line[0] == model)))


def test_means_deviations_and_the_average_over_seeds(tmp_path, capsys):
    folder = write_model(tmp_path / "pairwise", CoLA=(1, 2, 3), RTE=(1, 2, 3))
    text = table(capsys, folder)
    cells = row(text, "pairwise")
    columns = [percent(folder, name, (1, 2, 3)) for name in ("CoLA", "RTE")]
    assert [cells["CoLA"], cells["RTE"]] == [told(values) for values in columns]
    assert cells["average"] == told([statistics.mean(pair) for pair in zip(*columns)])
    assert cells["parameters"] == "1,234,567"
    assert "- Missing: MRPC, MNLI-m, MNLI-mm, QQP, STS-B, QNLI, SST-2." in text
    assert "The average is over CoLA, RTE: not the papers' 9 columns" in text
    assert "- Fine-tuning: 5 epochs, learning rate 1e-05, batches of 16." in text


def test_nine_columns_are_the_average(tmp_path, capsys):
    folder = write_model(tmp_path / "base", **nine(), WNLI=(1, 2))
    text = table(capsys, folder)
    cells = row(text, "base")
    assert list(cells) == ["variant", "seeds", "parameters", "average", *DEV_SETS, "validation loss"]
    columns = [percent(folder, name, (1, 2)) for name in NINE]
    assert cells["average"] == told([statistics.mean(seed) for seed in zip(*columns)])
    assert "WNLI is left out of the average" in text
    assert "Missing" not in text
    assert "cannot be compared" not in text


def nine():
    return {name.replace("-", "_"): (1, 2) for name in NINE}


def test_models_are_tested_by_what_all_of_them_have(tmp_path, capsys):
    first = write_model(tmp_path / "first", CoLA=(1, 2, 3), RTE=(1, 2, 3), wrong=0.9)
    second = write_model(
        tmp_path / "second", {**SETTINGS, "epochs": 3, "options": ["--fp16"]}, wrong=0.1, CoLA=(4, 5), SST_2=(4, 5)
    )
    text = table(capsys, first, f"other={second}", "--page", tmp_path / "page")
    assert row(text, "first")["average"] == row(text, "first")["CoLA"]
    assert row(text, "other")["average"] == row(text, "other")["CoLA"] == told(percent(second, "CoLA", (4, 5)))
    assert row(text, "other")["RTE"] == row(text, "first")["SST-2"] == "\N{EN DASH}"
    assert "other is better than first: average +" in text
    assert "- Fine-tuning of first: 5 epochs, learning rate 1e-05, batches of 16." in text
    assert "- Fine-tuning of other: 3 epochs, learning rate 1e-05, batches of 16, --fp16." in text
    results = json.loads((tmp_path / "page" / "results.json").read_text())
    assert set(results["variants"][1]["against_baseline"]) == {"average", "CoLA"}
    assert results["variants"][0]["runs"][0]["command"] == "train CoLA\ntrain RTE"
    text = table(capsys, first, f"other={second}", "--baseline", "other")
    assert "first is worse than other: average \N{MINUS SIGN}" in text


def test_seeds_without_all_columns_have_no_average(tmp_path, capsys):
    folder = write_model(tmp_path / "model", CoLA=(1, 2, 3), RTE=(1,))
    text = table(capsys, folder, "--json", tmp_path / "table.json")
    both = [*percent(folder, "CoLA", (1,)), *percent(folder, "RTE", (1,))]
    assert row(text, "model")["average"] == told([statistics.mean(both)])
    assert row(text, "model")["CoLA"] == told(percent(folder, "CoLA", (1, 2, 3)))
    assert "- model, RTE: seeds 1 alone." in text
    scores = json.loads((tmp_path / "table.json").read_text())["variants"][0]["scores"]
    assert scores["average"]["per_seed"][1:] == [None, None]

    apart = write_model(tmp_path / "apart", CoLA=(1, 2), RTE=(3, 4))
    text = table(capsys, folder, apart, "--page", tmp_path / "page")
    assert row(text, "apart")["average"] == "\N{EN DASH}"
    assert "- apart was not tested" not in text  # by CoLA it was
    assert "No test of apart against model: " in text
    page = (tmp_path / "page" / "report.html").read_text()
    assert "<li>apart, RTE: seeds 3, 4 alone.</li>" in page


def test_unfinished_runs_and_notes_are_named(tmp_path, capsys):
    folder = write_model(tmp_path / "model", notes=["every prediction is '1'"], CoLA=(1, 2, 3))
    (folder / "RTE-seed2").mkdir()
    (folder / "RTE-seed2" / "run.json").write_text("{}")
    text = table(capsys, folder)
    assert "- model: not finished: RTE-seed2." in text
    assert "- model, CoLA, seeds 1, 2, 3: every prediction is '1'." in text


def test_files(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folder = write_model(tmp_path / "model", **nine())
    files = [tmp_path / f"table.{kind}" for kind in ("json", "csv", "png", "svg")]
    for image in files[2:]:
        table(capsys, folder, "--json", files[0], "--csv", files[1], "--plot", image)
    scores = json.loads(files[0].read_text())["variants"][0]["scores"]
    assert scores["MRPC"]["per_seed"] == pytest.approx(percent(folder, "MRPC", (1, 2)))
    lines = list(csv.DictReader(files[1].open()))
    assert len(lines) == 2 * (1 + len(NINE))
    line = next(line for line in lines if line["metric"] == "MRPC")
    assert (line["variant"], line["seed"]) == ("model", "1")
    assert math.isclose(float(line["score"]), scores["MRPC"]["per_seed"][0])
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert all(name in files[3].read_text() for name in ("<svg", "MNLI-mm"))


def test_refusals(tmp_path, capsys):
    model = write_model(tmp_path / "model", CoLA=(1, 2, 3))
    twice = write_model(tmp_path / "twice", CoLA=(1, 2, 3))
    shutil.copytree(twice / "CoLA-seed1", twice / "again")
    damaged = write_model(tmp_path / "damaged", CoLA=(1,))
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
