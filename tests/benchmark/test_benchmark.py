"""The benchmark measures what it says, and refuses to report systems that do not compute the same."""

import csv
import json
import re
import time

import pytest
import torch

from fairseq_plugins.benchmark.attention import check_text
from fairseq_plugins.benchmark.compare_training import compare_gates, difference
from fairseq_plugins.benchmark.processes import Comparison, GateError, started
from fairseq_plugins.benchmark.profiling import breakdown, is_operator, profile
from fairseq_plugins.benchmark.report import comparisons
from fairseq_plugins.benchmark.sizes import SIZES, training_options
from fairseq_plugins.benchmark.trainer import Training
from fairseq_plugins.benchmark.worker import Memory


def test_updates_side_by_side(benchmark, tmp_path):
    files = ["--csv", tmp_path / "t.csv", "--json", tmp_path / "t.json", "--plot", tmp_path / "t.png"]
    systems = "stock,baseline,neuralqkv,neuralqkv+authors"
    options = ["--sizes", "tiny", "--systems", systems, "--rounds", 1, "--batches", 1]
    fewer = [word for name in systems.split(",") for word in ("--set", f"{name}=--max-tokens 256")]
    asked = ["--env", "baseline=MALLOC_MMAP_MAX_=0", "--profile", 3]
    shown = benchmark("train", *options, *fewer, *asked, *files)
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    assert list(rows) == systems.split(",")
    assert json.loads((tmp_path / "t.json").read_text())[0]["system"] == "stock"
    assert (tmp_path / "t.png").stat().st_size > 1000
    parameters = [int(row["parameters"]) for row in rows.values()]
    assert parameters[0] == parameters[1] < parameters[2] == parameters[3]
    for name, row in rows.items():
        assert f"| tiny | {name} |" in shown
        assert float(row["tokens/s"]) > 0
        assert float(row["memory"]) > 4 * 4 * float(row["parameters"])  # weights, gradients, two moments
    assert float(rows["stock"]["speed"]) == 1.0
    assert "1 thread (--threads)\nbaseline: MALLOC_MMAP_MAX_=0\n" in shown
    for pair in ("baseline | stock", "neuralqkv | baseline", "neuralqkv | neuralqkv+authors"):
        assert f"| {pair} |" in shown
    lines = shown[shown.index(f"| operator | {' | '.join(systems.split(','))} |") :].splitlines()
    assert [line.split("|")[1].strip() for line in lines[5:8]] == ["other operators", "between operators", "in all"]
    assert any(line.startswith(("| aten::mm |", "| aten::addmm |")) for line in lines[2:5])


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
    for names in (("stock", "baseline"), ("baseline", "baseline+fused"), ("neuralqkv", "neuralqkv+authors")):
        with pytest.raises(GateError, match=re.escape(f"{names[1]} does not compute what {names[0]} does: {problem}")):
            compare_gates(dict(zip(names, (gate(), other))))


def test_bfloat16_is_checked_by_its_own_measure():
    compare_gates({"baseline": gate(), "baseline+bf16": {**gate(loss=2.02, b=0.51), "bf16": True}})
    for wrong in (gate(loss=2.1), gate(b=0.62)):
        with pytest.raises(GateError, match="does not compute what baseline does"):
            compare_gates({"baseline": gate(), "baseline+bf16": {**wrong, "bf16": True}})


def test_other_options_have_other_gradients(tmp_path):
    """A baseline with other smoothing: at the start its loss is nearly stock fairseq's."""
    size = SIZES["tiny"]._replace(vocabulary=100, max_tokens=128)

    def measured(system, *more):
        words = [*training_options(size, system), *more]
        return Training(words, str(tmp_path), size.vocabulary, size.length, 1, False, 1, "cpu", Memory("cpu")).gate()

    stock = measured("stock")
    assert difference(stock, measured("baseline")) is None
    smoothed = measured("baseline", "--label-smoothing", "0.2")
    assert "the gradient of " in difference(stock, {**smoothed, "loss": stock["loss"]})


def test_a_system_that_fails_is_an_error(benchmark):
    options = ["--systems", "baseline", "--set", "baseline=--no-such-option"]
    shown = benchmark("train", "--sizes", "tiny", *options, status=1)
    assert re.search("baseline: build: its process ended with 2: .*unrecognized arguments: --no-such-option", shown)
    assert "tokens/s" not in shown


def test_every_system_stands_beside_its_own_controls():
    """Half of the tokens a second at one and a half times the operations is a third more time than they explain."""
    speeds = {"stock": (90, 10), "baseline": (100, 10), "neuralqkv": (50, 15), "neuralqkv+authors": (40, 15)}
    rows = [{"system": name, "tokens/s": speed, "FLOP/token": flops} for name, (speed, flops) in speeds.items()]
    rows.append({"system": "baseline+bf16", "tokens/s": 120, "FLOP/token": 10})
    rows.append({"system": "neuralqkv+bf16", "tokens/s": 60, "FLOP/token": 15})
    found = {(row["system"], row["control"]): (row["speed"], row["FLOPs"]) for row in comparisons(rows)}
    assert found == {
        ("baseline", "stock"): (pytest.approx(100 / 90), 1.0),
        ("neuralqkv", "baseline"): (0.5, 1.5),
        ("neuralqkv", "neuralqkv+authors"): (1.25, 1.0),
        ("baseline+bf16", "baseline"): (pytest.approx(1.2), 1.0),
        ("baseline+bf16", "stock"): (pytest.approx(120 / 90), 1.0),
        ("neuralqkv+bf16", "neuralqkv"): (pytest.approx(1.2), 1.0),
        ("neuralqkv+bf16", "baseline+bf16"): (0.5, 1.5),
        ("neuralqkv+bf16", "neuralqkv+authors"): (1.5, 1.0),
    }
    assert [row["control"] for row in comparisons(rows[1:3])] == ["baseline"]


def test_a_process_that_is_gone_is_an_error():
    with started(Comparison({"stock": []})) as (system,):
        system.process.kill()
        system.process.wait()
        with pytest.raises(GateError, match="stock: build: its process ended with -9"):
            system.ask("build")


def variables(process):
    """The environment of a process, once it has begun: at first it is none, or that of its parent."""
    deadline = time.monotonic() + 30
    while True:
        with open(f"/proc/{process.pid}/environ", encoding="utf-8") as file:
            found = file.read().split("\0")
        if "OMP_NUM_THREADS=3" in found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_a_process_has_the_variables_of_its_system():
    environments = {"baseline": {"MALLOC_MMAP_MAX_": "0"}}
    with started(Comparison({"stock": [], "baseline": []}, environments, threads=3)) as running:
        found = [variables(system.process) for system in running]
    assert all("OMP_NUM_THREADS=3" in given for given in found)
    assert ["MALLOC_MMAP_MAX_=0" in given for given in found] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--systems", "stock,nonsense+x"], "--systems nonsense+x: choose from stock, baseline, "),
        (["train", "--systems", "ctranslate2"], "--systems ctranslate2: choose from stock, baseline, "),
        (["train", "--sizes", "tiny,huge"], "--sizes huge: choose from tiny, iwslt, wmt-base, wmt-big, roberta-base"),
        (["generate", "--sizes", "roberta-base"], "--sizes roberta-base: choose from tiny, iwslt, wmt-base, wmt-big"),
        (["generate", "--set", "symmetric=--lenpen 2"], "--set symmetric=--lenpen 2: symmetric is none of --systems"),
        (["train", "--env", "baseline=A"], "--env baseline=A: write NAME=VAR=VALUE, NAME one of --systems stock,"),
        (["generate", "--env", "pairwise=A=1"], "--env pairwise=A=1: write NAME=VAR=VALUE, NAME one of --systems"),
        (["generate", "--checkpoint", "model.pt"], "--checkpoint and --data go together"),
        (["attention", "--causal", "--mixings", "top-r"], "--mixings is for attention that sees all keys"),
    ],
)
def test_options_that_mean_nothing_are_said(arguments, message, script, capsys):
    parser = script.build_parser()
    args = parser.parse_args(arguments)
    with pytest.raises(SystemExit):
        script.check(args, parser) or script.read_systems(args, parser)
    assert f"error: {message}" in capsys.readouterr().err


def test_options_of_one_system(script):
    parser = script.build_parser()
    options = ["--set", "baseline+x=--lenpen 2 --remove-bpe", "--env", "baseline+x=A=b=c", "--env", "baseline+x=B="]
    args = parser.parse_args(["generate", "--systems", "stock,baseline+x,ctranslate2+int8", *options])
    systems, environments = script.read_systems(args, parser)
    assert systems == {"stock": [], "baseline+x": ["--lenpen", "2", "--remove-bpe"], "ctranslate2+int8": []}
    assert environments == {"baseline+x": {"A": "b=c", "B": ""}}


def test_attention_alone(benchmark, tmp_path):
    shown = benchmark("attention", "--lengths", 16, "--rounds", 1, "--mixings", "top-r", "--json", tmp_path / "a.json")
    rows = {row["mixing"]: row for row in json.loads((tmp_path / "a.json").read_text())}
    assert list(rows) == ["sdpa", "top-r"]
    assert rows["sdpa"]["ratio"] == 1.0
    assert "| 16 | top-r |" in shown


def test_padded_attention_is_checked(benchmark):
    shown = benchmark("attention", "--causal", "--lengths", 16, "--rounds", 1)
    assert re.search(r"^\| 16 \| padded \|", shown, re.M)
    bare = torch.randn(2, 3, 8, 5)
    padded = bare.permute(2, 0, 1, 3).reshape(8, 2, 15).clone()
    padded[7, 1] = 9  # padding
    check_text(bare, padded)
    padded[5, 1, 0] += 0.001
    with pytest.raises(GateError, match=r"differs by 0\.001"):
        check_text(bare, padded)


def test_a_profile_adds_up():
    """The seconds of a step are those of its operators and what is between them."""
    x = torch.randn(300, 300)

    def step():
        time.sleep(0.02)
        return (x @ x).softmax(-1)

    found = profile(step, "cpu", lambda: None)
    assert {"aten::mm", "aten::_softmax"} <= found["operators"].keys()
    assert all(is_operator(name) for name in found["operators"])
    lines = dict(breakdown({"a": found, "b": {"seconds": 1.0, "operators": {"aten::mm": 0.75}}}, 1))
    assert list(lines)[1:] == ["other operators", "between operators", "in all"]
    assert lines["between operators"]["a"] > 0.02
    parts = list(lines.values())
    for system in ("a", "b"):
        assert sum(part[system] for part in parts[:-1]) == pytest.approx(lines["in all"][system])
    assert [part["b"] for part in parts] == [0.75, 0.0, 0.25, 1.0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aten::mm", True),
        ("mkldnn::_linear_pointwise", True),
        ("autograd::engine::evaluate_function: MmBackward0", False),
        ("forward", False),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor>", False),
    ],
)
def test_what_is_an_operator(name, expected):
    assert is_operator(name) == expected
