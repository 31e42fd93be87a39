"""Predictions and scores of fine-tuned models against fairseq-validate on the same checkpoints."""

import json
import math
import re
import statistics
from importlib.util import find_spec

import pytest
import torch
from running import forked

from fairseq_plugins import cli
from fairseq_plugins.checkpoints.safe_load import load_checkpoint
from fairseq_plugins.glue.binarise import prepare_task
from fairseq_plugins.glue.evaluate import FineTuned, evaluate_run
from fairseq_plugins.glue.finetuning import Settings, fine_tunings
from fairseq_plugins.glue.pretrained import Pretrained
from fairseq_plugins.glue.readers import find_file, read_examples
from fairseq_plugins.glue.tasks import TASKS

# found and not imported: each worker collects this file, one or two run it
pytestmark = pytest.mark.skipif(not (find_spec("sklearn") and find_spec("scipy")), reason="no sklearn or scipy")


def tell_examples_apart(path, data):
    """Give a model that has hardly learnt anything outputs that are 0 in the mean: its answers then differ."""
    tuned, outputs = FineTuned(path, data), []
    tuned.model.classification_heads[tuned.head].register_forward_hook(lambda *call: outputs.append(call[-1]))
    tuned.predict("valid")
    state = load_checkpoint(path)
    state["model"][f"classification_heads.{tuned.head}.out_proj.bias"] -= torch.cat(outputs).mean(dim=0)
    torch.save(state, path)


@pytest.fixture(scope="module")
def tuned(toy, tmp_path_factory):
    """``tuned(task)``: the folder of a run after four updates of its plan."""
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def run(name):
        if name not in done:
            (task,), _ = fine_tunings(Pretrained.load(toy.checkpoint), toy.data, [name], Settings(lr=1e-2))
            done[name] = folder / f"{name}-seed3"
            forked(
                *("train", task.data, "--arch", task.arch, "--max-tokens", task.max_tokens, *task.options, "--cpu"),
                *("--max-update", 4, "--seed", 3, "--save-dir", done[name]),
            )
            tell_examples_apart(done[name] / "checkpoint_last.pt", task.data)
            (done[name] / "run.json").write_text(json.dumps({"seed": "3", "data": str(task.data)}))
        return done[name]

    return run


def fairseq_validate(folder, data, plugin):
    """fairseq's own figures: subset -> name -> value."""
    classes = json.loads((data / "task.json").read_text())["classes"]
    valid = [path.stem for path in (data / "input0").glob("valid*.idx")]
    output = forked(
        *("validate", data, "--path", folder / "checkpoint_last.pt", "--valid-subset", ",".join(valid), "--cpu"),
        *("--task", "sentence_prediction", "--criterion", "sentence_prediction", "--num-classes", len(classes) or 1),
        *("--batch-size", 5, "--user-dir", plugin, "--log-format", "simple"),
    )
    lines = re.findall(r"INFO \| \w+ \| valid on '(\w+)' subset \| (.*)", output)
    assert len(lines) == len(valid)
    return {subset: dict(item.rsplit(" ", 1) for item in line.split(" | ")) for subset, line in lines}


@pytest.mark.parametrize("name", ["CoLA", "MNLI"])
def test_accuracy_is_fairseqs(name, toy, tuned, plugin):
    folder, data = tuned(name), toy.data / f"{name}-bin"
    evaluation = evaluate_run(folder, data, seed=3)
    assert json.loads((folder / "evaluation.json").read_text()) == evaluation
    assert (evaluation["task"], evaluation["seed"]) == (name, 3)
    theirs = fairseq_validate(folder, data, plugin)
    assert list(evaluation["sets"]) == list(TASKS[name].dev_names.values())
    for found in evaluation["sets"].values():
        # fairseq rounds to one decimal
        assert round(100 * found["metrics"]["accuracy"], 1) == float(theirs[found["subset"]]["accuracy"])
        assert found["notes"] == []  # equal predictions would prove nothing about their order
    # predictions in the order of the file, and by the names of the classes
    predictions = json.loads((folder / "predictions.json").read_text())
    for subset, set_name in TASKS[name].dev_names.items():
        rows = read_examples(TASKS[name], find_file(toy.glue / name, TASKS[name].sets[subset])).rows
        assert predictions[set_name]["targets"] == [row.label for row in rows]
        right = [a == b for a, b in zip(predictions[set_name]["predictions"], predictions[set_name]["targets"])]
        assert statistics.fmean(right) == pytest.approx(evaluation["sets"][set_name]["metrics"]["accuracy"])


def test_regression_is_fairseqs(toy, tuned, plugin):
    folder, data = tuned("STS-B"), toy.data / "STS-B-bin"
    predictions, targets = FineTuned(folder / "checkpoint_last.pt", data).predict("valid")
    rows = read_examples(TASKS["STS-B"], find_file(toy.glue / "STS-B", "dev")).rows
    assert targets == [float(row.label) for row in rows]
    error = statistics.fmean(((a - b) / 5) ** 2 for a, b in zip(predictions, targets))
    # fairseq's loss is in bits even here
    assert float(fairseq_validate(folder, data, plugin)["valid"]["loss"]) == pytest.approx(
        error / math.log(2), abs=6e-4
    )
    # neither the size of a batch nor the padding in it matters
    again = FineTuned(folder / "checkpoint_last.pt", data).predict("valid", batch=1)
    assert again.predictions == pytest.approx(predictions, abs=1e-5)


def test_command(toy, tuned, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = tuned("STS-B")
    assert cli.main(["glue-evaluate", str(folder)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"STS-B-seed3: STS-B: pearson -?[\d.]+, spearman -?[\d.]+ \(12 rows\)\n$", out)
    (folder.parent / "empty").mkdir(exist_ok=True)
    other = folder.parent / "pretrained"
    other.mkdir(exist_ok=True)
    (other / "checkpoint_last.pt").write_bytes(toy.checkpoint.read_bytes())
    (other / "run.json").write_text((folder / "run.json").read_text())
    fewer = folder.parent / "fewer.txt"
    fewer.write_text("".join(toy.dict.read_text().splitlines(keepends=True)[:-2]))
    wrong = folder.parent / "wrong data"
    prepare_task(TASKS["STS-B"], toy.glue / "STS-B", wrong, toy.bpe, fewer)
    for arguments, message in (
        ([folder.parent / "empty"], "run.json: train with scripts/train.sh"),
        ([folder, "--checkpoint", "checkpoint9.pt"], "checkpoint9.pt: the training is not finished"),
        ([folder, "--data", folder], "task.json; give --data the folder that scripts/prepare_glue.sh wrote"),
        ([folder, "--data", wrong], "wrong data (size mismatch for encoder"),
        ([other], "not of the task sentence_prediction; fine-tune it first"),
    ):
        assert cli.main(["glue-evaluate", *map(str, arguments)]) == 1
        error = capsys.readouterr().err
        assert "glue-evaluate: error: " in error
        assert message in error


def test_a_model_that_diverged_is_no_result(toy, tuned):
    folder = tuned("CoLA")
    state = load_checkpoint(folder / "checkpoint_last.pt")
    state["model"]["classification_heads.sentence_classification_head.out_proj.bias"][0] = math.nan
    torch.save(state, folder / "nan.pt")
    with pytest.raises(ValueError, match=r"nan\.pt: its outputs are no numbers; train again with a lower --lr"):
        FineTuned(folder / "nan.pt", toy.data / "CoLA-bin").predict("valid")


def test_rows_longer_than_the_model_are_refused(toy, tuned, monkeypatch):
    fine_tuned = FineTuned(tuned("CoLA") / "checkpoint_last.pt", toy.data / "CoLA-bin")
    monkeypatch.setattr(fine_tuned.model, "max_positions", lambda: 6)
    (sizes,) = fine_tuned.fairseq_task.load_dataset("valid").sizes
    long = sizes[sizes > 6]
    amount = rf"CoLA-bin: {len(long)} of {len(sizes)} rows \({long.sum()} tokens\) of valid are longer than the model"
    with pytest.raises(ValueError, match=amount):
        fine_tuned.predict("valid")
