"""scripts/prepare_glue.sh and examples/symmetric_attention/glue.sh from published files to a table."""

import json
import re
import shlex
import shutil

import pytest
import torch
from fairseq import options
from pipeline_tools import script, snapshot
from running import forked

from fairseq_plugins.checkpoints.safe_load import load_checkpoint
from fairseq_plugins.glue.evaluate import evaluate_run
from fairseq_plugins.glue.finetuning import Settings, fine_tunings
from fairseq_plugins.glue.pretrained import Pretrained

PREPARE, GLUE = "scripts/prepare_glue.sh", "examples/symmetric_attention/glue.sh"


def test_preparation_names_what_is_missing_and_keeps_what_is_done(toy, tmp_path):
    arguments = ["--from", toy.glue, "--bpe-dir", toy.bpe, "--out", tmp_path / "out"]
    dry = script(PREPARE, *arguments, "--dry-run")
    assert "fairseq-plugins glue-prepare STS-B" in dry
    assert snapshot(tmp_path) == []
    output = script(PREPARE, *arguments, "--tasks", "STS-B,CoLA")
    assert "ready: 2 of 9 tasks" in output
    for name in ("CoLA", "STS-B"):
        ours = {
            p.relative_to(tmp_path / "out"): p.read_bytes() for p in (tmp_path / "out" / f"{name}-bin").rglob("*.*")
        }
        assert ours == {p.relative_to(toy.data): p.read_bytes() for p in (toy.data / f"{name}-bin").rglob("*.*")}

    # a task whose file is not there: named and left out, or refused where it was asked for
    incomplete = tmp_path / "glue"
    (incomplete / "RTE").mkdir(parents=True)
    (incomplete / "RTE" / "train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n")
    (incomplete / "CoLA").symlink_to(toy.glue / "CoLA")
    again = script(PREPARE, "--from", incomplete, *arguments[2:])
    assert f"RTE: no {incomplete}/RTE/dev.tsv or {incomplete}/RTE/dev.tsv.gz; RTE is left out" in again
    assert f"MNLI: no {incomplete}/MNLI/train.tsv" in again
    assert "CoLA: up to date" in again
    assert "glue-prepare:" not in again
    refused = script(PREPARE, "--from", incomplete, *arguments[2:], "--tasks", "CoLA,RTE", status=1)
    assert f"error: RTE: no {incomplete}/RTE/dev.tsv" in refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bpe-dir", "."], "where is the data? Give --from"),
        (["--from", "."], "which BPE? Give --bpe-dir"),
        (["--from", ".", "--bpe-dir", "none"], "no dict.txt in none or in bin beside it"),
        (["--from", "none", "--bpe-dir", "."], "--from none is not a folder"),
        (["--max-length", "long"], "--max-length takes a whole number"),
        (["--tasks"], "--tasks needs a value"),
        (["--from", "BPE", "--bpe-dir", "BPE", "--tasks", "cola"], "'cola' is none of CoLA MNLI"),
        (["--from", "BPE", "--bpe-dir", "BPE"], "none of CoLA MNLI MRPC"),
    ],
)
def test_preparation_refuses(arguments, message, toy, tmp_path):
    arguments = [str(toy.bpe) if word == "BPE" else word for word in arguments]
    found = re.search(r"error: (.*)", script(PREPARE, "--dry-run", *arguments, cwd=tmp_path, status=_status(message)))
    assert message in found[1]


def _status(message):
    """Wrong use ends with 2, what is wrong with files with 1."""
    return 1 if re.match(r"no dict|--from none|none of", message) else 2


def test_smoke_makes_a_table_from_nothing(tmp_path):
    folders = ["--runs", tmp_path / "runs", "--glue-data", tmp_path / "data"]
    dry = script(GLUE, "--smoke", "--cpu", "--dry-run", *folders)
    assert "glue-toy" in dry
    assert snapshot(tmp_path) == []

    output = script(GLUE, "--smoke", "--cpu", "--seeds", 4, *folders)
    assert re.search(r"run 1 of 2: CoLA, seed 4, 2 updates$", output, re.M)
    assert re.search(r"run 2 of 2: STS-B, seed 4, 2 updates, about \d:\d\d:\d\d left$", output, re.M)
    assert "| variant | seeds | parameters | average | CoLA | STS-B | validation loss |" in output
    assert "- Missing: MRPC, MNLI-m, MNLI-mm, QQP, RTE, QNLI, SST-2." in output
    made = snapshot(tmp_path / "runs")
    for name in ("CoLA-seed4/evaluation.json", "STS-B-seed4/predictions.json", "table.csv", "table.json"):
        assert name in made
    assert not any(name.endswith(".pt") for name in made)
    assert "glue-table" in script(GLUE, "--table", "--dry-run", *folders)


def test_an_interrupted_run_goes_on_and_a_finished_one_is_kept(toy, tmp_path):
    """After half of the updates, with --resume: the predictions of a run without the interruption."""
    (task,), _ = fine_tunings(Pretrained.load(toy.checkpoint), toy.data, ["CoLA"], Settings(lr=0.001, epochs=2))
    assert task.updates == 4

    def train(folder, updates):
        forked(
            *("train", task.data, "--arch", task.arch, "--max-tokens", task.max_tokens, *task.options, "--cpu"),
            *("--max-update", updates, "--seed", 7, "--save-dir", folder),
        )

    whole, finished, stopped = tmp_path / "whole", tmp_path / "runs" / "CoLA-seed6", tmp_path / "runs" / "CoLA-seed7"
    train(whole, 4)
    evaluation = evaluate_run(whole, task.data, seed=7)
    train(stopped, 2)
    finished.mkdir()
    shutil.copy(whole / "predictions.json", finished)
    (finished / "run.json").write_text(json.dumps({"arch": task.arch, "seed": "6"}))
    (finished / "done").write_text(json.dumps({"updates": 4, "seconds": 1.0}))
    (finished / "train.log").write_text("num. shared model params: 9 (num. trained: 9)\n")
    (finished / "evaluation.json").write_text(json.dumps({**evaluation, "seed": 6}))

    folders = ["--glue-data", toy.data, "--runs", tmp_path / "runs"]
    arguments = ["--checkpoint", toy.checkpoint, "--tasks", "CoLA", "--seeds", "6,7", "--lr", "1e-3", "--epochs", 2]
    # the runs above began without a preset, which no script has recorded
    as_they_were = ["--cpu", "--preset", "none", "--keep-checkpoints", "--resume"]
    output = script(GLUE, *arguments, *folders, *as_they_were)
    assert f"2 runs in {tmp_path}/runs, 1 of them finished already" in output
    assert "run 2 of 2: CoLA, seed 7, 4 updates" in output
    assert re.search(r"going on from .*CoLA-seed7/checkpoint_last.pt \(2 updates\)", output)
    assert (stopped / "predictions.json").read_text() == (whole / "predictions.json").read_text()
    weights = [load_checkpoint(run / "checkpoint_last.pt")["model"] for run in (whole, stopped)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_dry_run_prints_what_fairseq_takes(toy, tmp_path):
    arguments = ["--checkpoint", toy.checkpoint, "--glue-data", toy.data, "--runs", tmp_path / "runs", "--seeds", "1,2"]
    output = script(GLUE, *arguments, "--tasks", "MNLI,STS-B", "--cpu", "--dry-run", "--", "--dropout", 0.2)
    assert snapshot(tmp_path) == []
    commands = [shlex.split(line)[1:] for line in output.splitlines() if line.startswith("fairseq-train ")]
    parsed = [options.parse_args_and_arch(options.get_training_parser(), command) for command in commands]
    assert [(args.save_dir, args.seed) for args in parsed] == [
        (str(tmp_path / "runs" / f"{task}-seed{seed}"), seed) for task in ("MNLI", "STS-B") for seed in (1, 2)
    ]
    assert {args.dropout for args in parsed} == {0.2}
    assert output.count(" glue-evaluate ") == 2
    assert output.count("\nrm -f ") == 2


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "which model? Give --checkpoint"),
        (["--checkpoint", "none.pt"], 1, "no checkpoint none.pt"),
        (["--checkpoint", "none.pt", "--seeds", "1;2"], 2, "--seeds takes numbers with commas between them"),
        (["--checkpoint", "none.pt", "--lr", "fast"], 2, "--lr takes a number such as 1e-5"),
        (["--checkpoint", "none.pt", "--gpus", "4"], 2, "a run takes one device; use --gpus 1"),
        (["--checkpoint", "none.pt", "--seed", "1"], 2, "give --seeds"),
        (["--checkpoint", "none.pt", "--from", "glue"], 2, "--from needs --bpe-dir"),
        (["--checkpoint", "none.pt", "--smoke"], 2, "--smoke makes its own data and model"),
        (["--fast"], 2, "unknown option --fast"),
    ],
)
def test_recipe_refuses(arguments, status, message, tmp_path):
    assert message in script(GLUE, *arguments, cwd=tmp_path, status=status)
