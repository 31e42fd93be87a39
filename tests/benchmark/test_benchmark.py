"""The benchmark measures what it says, and refuses to report systems that do not compute the same."""

import csv
import json
import re
import subprocess
import sys

import pytest
from pipeline_tools import ROOT, environment

from fairseq_plugins.benchmark.training import GateError, compare_gates


def benchmark(*arguments, status=0):
    command = [sys.executable, str(ROOT / "scripts/benchmark.py"), *map(str, arguments), "--cpu"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_updates_side_by_side(tmp_path):
    files = ["--csv", tmp_path / "t.csv", "--json", tmp_path / "t.json", "--plot", tmp_path / "t.png"]
    systems = "stock,baseline,pairwise"
    shown = benchmark("train", "--sizes", "tiny", "--systems", systems, "--rounds", 1, "--batches", 1, *files)
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    assert list(rows) == systems.split(",")
    assert json.loads((tmp_path / "t.json").read_text())[0]["system"] == "stock"
    assert (tmp_path / "t.png").stat().st_size > 1000
    assert rows["stock"]["parameters"] == rows["baseline"]["parameters"] > rows["pairwise"]["parameters"]
    for name, row in rows.items():
        assert f"| tiny | {name} |" in shown
        assert float(row["tokens/s"]) > 0
        assert float(row["memory"]) > 4 * 4 * float(row["parameters"])  # weights, gradients, two moments
    assert float(rows["stock"]["speed"]) == 1.0


def gate(loss=2.0, **gradients):
    return {"loss": loss, "gradients": {"a": 1.0, "b": 0.5, **gradients}}


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (gate(loss=2.001), "loss 2.000000 and 2.001000"),
        (gate(b=0.501), "the gradient of b has norm 0.5 and 0.501"),
        (gate(c=1.0), "parameters ['c'] are in one only"),
    ],
)
def test_no_speed_without_equal_results(other, problem):
    """The baseline stands beside stock fairseq, and a variant with other options beside itself without them."""
    compare_gates({"stock": gate(), "baseline": gate(b=0.500001), "pairwise": other, "pairwise+x": other})
    for names in (("stock", "baseline"), ("baseline", "baseline+fused"), ("pairwise", "pairwise+fused")):
        with pytest.raises(GateError, match=re.escape(f"{names[1]} does not compute what {names[0]} does: {problem}")):
            compare_gates(dict(zip(names, (gate(), other))))


def test_unequal_systems_and_failing_ones_are_an_error():
    """A baseline with other smoothing has other gradients than stock fairseq, though at the start the same loss."""
    options = ["--systems", "stock,baseline", "--set", "baseline=--label-smoothing 0.2"]
    shown = benchmark("train", "--sizes", "tiny", *options, status=1)
    assert "baseline does not compute what stock does: the gradient of" in shown
    assert "tokens/s" not in shown
    options = ["--systems", "baseline", "--set", "baseline=--attention-kernel nonsense"]
    assert "baseline: build:" in benchmark("train", "--sizes", "tiny", *options, status=1)


def test_attention_alone(tmp_path):
    shown = benchmark(
        "attention", "--lengths", 16, "--rounds", 1, "--mixings", "dense,top-r", "--json", tmp_path / "a.json"
    )
    rows = {row["mixing"]: row for row in json.loads((tmp_path / "a.json").read_text())}
    assert list(rows) == ["sdpa", "dense", "top-r"]
    assert rows["sdpa"]["ratio"] == 1.0
    assert "| 16 | top-r |" in shown
