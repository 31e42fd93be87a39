"""train.sh --preset: which options it sets wherever they stand, and what it says of those that it leaves alone."""

import json
import re
import shlex
import sys

import pytest
from fairseq import options
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.optim import OPTIMIZER_REGISTRY
from pipeline_tools import script, snapshot
from tiny_training import SMALL, write_corpus

from fairseq_plugins.commands import apply_preset
from fairseq_plugins.models.grid import FAMILY_SITES, SIZES, VARIANTS, architecture_name, stock_name
from fairseq_plugins.runtime import processor

OURS = "transformer_neuralqkv_tiny"
SMOOTHED = "label_smoothed_cross_entropy"
needs_bf16 = pytest.mark.skipif(
    not processor.multiplies_bfloat16(),
    reason="this CPU has no instructions for bfloat16, and the preset leaves it out",
)
NONE = ("--preset", "none")
BF16 = pytest.param("fast-bf16", marks=needs_bf16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_corpus(folder)
    return folder


def train(data, save_dir, preset, *after, arch=OURS, corpus="bin", more=()):
    """A dry run: what fairseq's parser makes of the command, and the line about the preset."""
    arguments = [data / corpus, "--arch", arch, "--save-dir", save_dir, "--cpu", "--preset", preset, *more]
    output = script("scripts/train.sh", *arguments, "--dry-run", "--", *after)
    (command,) = (line for line in output.splitlines() if line.startswith("fairseq-train"))
    (said,) = re.findall(r"^train\.sh: --preset (.*)$", output, re.M)
    _, *words = shlex.split(command)
    return options.parse_args_and_arch(options.get_training_parser(), words), said


@pytest.mark.parametrize("preset", ["fast", BF16])
@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--criterion", SMOOTHED, "--label-smoothing", "0.1", "--optimizer", "adam", "--adam-betas", "(0.9, 0.98)"],
        [f"--criterion={SMOOTHED}", "--label-smoothing=0.1", "--optimizer=adam", "--adam-betas=(0.9, 0.98)"],
        # a recipe's own, and after it what the caller wants instead
        [
            *("--optimizer", "sgd", "--criterion", "cross_entropy"),
            *(f"--criterion={SMOOTHED}", "--label-smoothing", "0.1", "--optimizer", "adam", "--adam-betas=(0.9, 0.98)"),
        ],
        ["--criterion", f"fused_{SMOOTHED}", "--label-smoothing", "0.1", "--fast-dropout"],
    ],
    ids=["defaults", "given", "with equals signs", "given twice", "fast already"],
)
def test_translation(data, tmp_path, preset, given):
    parsed, said = train(data, tmp_path / "run", preset, *given)
    assert (parsed.criterion, parsed.label_smoothing) == (f"fused_{SMOOTHED}", 0.1)
    assert (parsed.optimizer, parsed.adam_betas) == ("fused_adam", "(0.9, 0.98)")
    assert parsed.fast_dropout
    assert parsed.autocast_bf16 == (preset == "fast-bf16")
    bf16 = " --autocast-bf16" * parsed.autocast_bf16
    assert said == f"{preset} sets --criterion fused_{SMOOTHED}{bf16} --optimizer fused_adam --fast-dropout"
    assert snapshot(tmp_path) == []


def test_without_a_preset_it_is_fast_on_cpus(data, tmp_path):
    arguments = [data / "bin", "--arch", OURS, "--save-dir", tmp_path / "run", "--dry-run"]
    chosen, asked = (script("scripts/train.sh", *arguments, "--cpu", *more) for more in ([], ["--preset", "fast"]))
    assert chosen == asked
    # nothing was measured on GPUs
    for output in (script("scripts/train.sh", *arguments, *more) for more in (["--gpus", 1], ["--cpu", *NONE])):
        assert "--preset" not in output
        words = shlex.split(output.splitlines()[-1])
        assert words[words.index("--criterion") + 1] == SMOOTHED
        assert words[words.index("--optimizer") + 1] == "adam"
        assert "--fast-dropout" not in words


def test_stock_architectures_have_no_fast_dropout(data, tmp_path):
    arch = "transformer_iwslt_de_en"
    parsed, said = train(data, tmp_path / "run", "fast", arch=arch)
    assert (parsed.criterion, parsed.optimizer) == (f"fused_{SMOOTHED}", "fused_adam")
    assert not hasattr(parsed, "fast_dropout")
    assert said.endswith(
        f"--optimizer fused_adam; no faster twin: the dropout of {arch}, which is none of our architectures"
    )


def test_it_knows_our_architectures():
    """Over the whole grid and stock fairseq's names."""
    for family in FAMILY_SITES:
        for size in SIZES[family]:
            ours = [architecture_name(family, variant, size) for variant in VARIANTS]
            for arch in (*ours, stock_name(family, size), f"{ours[1]}_of_others"):
                _, words = apply_preset.apply("fast", arch, ["train"], cpu=True)
                assert words == ["train", *(["--fast-dropout"] if arch in ours else [])]


def test_twins_are_those_that_are_registered():
    """Every criterion and optimizer of the package whose name says so stands in for the one it is named after."""
    names = {*CRITERION_REGISTRY, *OPTIMIZER_REGISTRY}
    assert {name for name in names if apply_preset.twin(name, True) != name} == {
        name.split("_", 1)[1] for name in names if name.startswith(("fused_", "autocast_"))
    }
    assert apply_preset.twin("masked_lm", False) == "masked_lm"


@pytest.mark.parametrize(
    ("preset", "criterion", "expected", "note"),
    [
        ("fast", "masked_lm", "masked_lm", "; no faster twin: --criterion masked_lm"),
        pytest.param("fast-bf16", "masked_lm", "autocast_masked_lm", "", marks=needs_bf16),
        ("fast", "cross_entropy", "fused_cross_entropy", ""),
        pytest.param(
            *("fast-bf16", "adaptive_loss", "adaptive_loss", "; no faster twin: --criterion adaptive_loss"),
            marks=needs_bf16,
        ),
    ],
)
def test_masked_language_models(data, tmp_path, preset, criterion, expected, note):
    given = ["--task", "masked_lm", "--criterion", criterion, "--tokens-per-sample", "32"]
    parsed, said = train(data, tmp_path / "run", preset, *given, arch="roberta_pairwise_tiny", corpus="mono")
    assert (parsed.criterion, parsed.optimizer, parsed.fast_dropout) == (expected, "fused_adam", True)
    named = "" if note else f"--criterion {expected} "
    assert said == f"{preset} sets {named}--optimizer fused_adam --fast-dropout{note}"


@needs_bf16
def test_language_models_and_other_optimizers(data, tmp_path):
    given = ["--task", "language_modeling", "--criterion", "cross_entropy", "--optimizer", "adagrad"]
    parsed, said = train(
        data, tmp_path / "run", "fast-bf16", *given, arch="transformer_lm_baseline_tiny", corpus="mono"
    )
    assert (parsed.criterion, parsed.optimizer) == ("fused_cross_entropy", "adagrad")
    assert parsed.fast_dropout
    assert parsed.autocast_bf16
    assert said.endswith("--autocast-bf16 --fast-dropout; no faster twin: --optimizer adagrad")


def test_several_exceptions_are_one_line(data, tmp_path):
    given = ["--criterion", "legacy_masked_lm_loss", "--optimizer", "sgd", "--task", "masked_lm"]
    given += ["--tokens-per-sample", "32"]
    _, said = train(data, tmp_path / "run", "fast", *given, arch="roberta", corpus="mono")
    assert said == (
        "fast sets nothing; no faster twin: --criterion legacy_masked_lm_loss, --optimizer sgd, "
        "the dropout of roberta, which is none of our architectures"
    )


def test_an_unknown_preset_is_refused(data, tmp_path):
    arguments = [data / "bin", "--arch", OURS, "--save-dir", tmp_path / "run", "--cpu", "--preset"]
    assert "error: --preset faster: choose none, fast, fast-bf16 or fast-int8" in script(
        "scripts/train.sh", *arguments, "faster", status=2
    )
    said = script("scripts/train.sh", *arguments, "fast-int8", status=2)
    assert "error: --preset fast-int8 is for translation; choose none, fast or fast-bf16" in said
    assert "--preset needs a value" in script("scripts/train.sh", *arguments, status=2)
    assert snapshot(tmp_path) == []


@pytest.mark.parametrize(
    ("recipe", "criterion"),
    [
        ("examples/attention_is_all_you_need/iwslt14.sh", f"fused_{SMOOTHED}"),
        pytest.param("examples/symmetric_attention/wikitext2.sh", "autocast_masked_lm", marks=needs_bf16),
        ("scripts/quickstart.sh", f"fused_{SMOOTHED}"),
    ],
)
def test_recipes_hand_it_to_the_training_alone(recipe, criterion, tmp_path):
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    output = script(recipe, "--smoke", "--dry-run", "--cpu", *folders, "--preset", "fast-bf16")
    trainings = [line for line in output.splitlines() if line.startswith("fairseq-train")]
    assert trainings
    for line in trainings:
        words = shlex.split(line)
        assert [words[at + 1] for at, word in enumerate(words) if word == "--criterion"] == [criterion]
        assert "fused_adam" in words
        assert "--fast-dropout" in words
    assert output.count("--preset fast-bf16 sets") == len(trainings)


def test_smoke_and_resume_without_it(data, tmp_path):
    """A preset may come and go between two starts of the same run, which keeps its own where none is named."""
    start = [data / "bin", "--arch", OURS, "--save-dir", tmp_path / "run", "--cpu", "--max-tokens", "200"]
    after = ["--", *SMALL.split(), "--lr", "0.01", "--dropout", "0.2"]
    script("scripts/train.sh", *start, "--max-update", 4, "--preset", "fast-bf16", *after)
    command = json.loads((tmp_path / "run" / "run.json").read_text())["command"]
    assert {"--fast-dropout", "fused_adam", f"fused_{SMOOTHED}"} <= set(command)
    assert ("--autocast-bf16" in command) == processor.multiplies_bfloat16()
    for preset, begun in ((None, "fast-bf16" if processor.multiplies_bfloat16() else "fast"), ("none", "")):
        named = ["--preset", preset] if preset else []
        shown = script("scripts/train.sh", *start, "--max-update", 6, "--resume", *named, "--dry-run", *after)
        assert re.findall("--preset ([a-z0-9-]+) sets", shown) == [begun] * bool(begun)
    output = script("scripts/train.sh", *start, "--max-update", 6, "--resume", *NONE, *after)
    assert "(4 updates)" in output
    assert json.loads((tmp_path / "run" / "done").read_text())["updates"] == 6


def test_the_plan_is_that_of_the_training(data, tmp_path):
    start = [data / "bin", "--arch", OURS, "--save-dir", tmp_path / "run", "--cpu", "--max-update", "9", "--plan"]
    plain, fast = (script("scripts/train.sh", *start, *more) for more in ([], ["--preset", "fast-bf16"]))
    parameters = re.compile(r"^.*parameters.*$", re.M)
    assert parameters.findall(plain)
    assert parameters.findall(plain) == parameters.findall(fast)


def overrides(data, tmp_path, *options):
    """The --model-overrides of a translation, or None, and all that is printed."""
    arguments = [data / "bin", "--save-dir", tmp_path, "--dry-run", *options]
    output = script("scripts/generate.sh", *arguments)
    (command,) = (line for line in output.splitlines() if line.startswith("fairseq-generate"))
    words = shlex.split(command)
    return words[words.index("--model-overrides") + 1] if "--model-overrides" in words else None, output


def test_translation_by_the_preset(data, tmp_path):
    """Packed weights on CPUs, unless the caller overrides the model's options himself."""
    assert overrides(data, tmp_path, "--cpu")[0] == "{'fast_inference': True}"
    assert overrides(data, tmp_path, "--cpu", "--preset", "fast")[0] == "{'fast_inference': True}"
    assert overrides(data, tmp_path, "--gpus", 1)[0] is overrides(data, tmp_path, "--cpu", *NONE)[0] is None
    own = ("--", "--model-overrides", "{'dropout': 0.1}")
    found, output = overrides(data, tmp_path, "--cpu", "--preset", "fast", *own)
    assert "--preset fast: --model-overrides is given; name fast_inference there" in output
    assert found == "{'dropout': 0.1}"
    assert "--preset" not in overrides(data, tmp_path, "--cpu", *own)[1]


@pytest.mark.parametrize("preset", ["fast-bf16", "fast-int8"])
def test_translation_with_fewer_bits(preset, data, tmp_path):
    """Where the processor has what makes them fast, and in a line why not."""
    weights = {"fast-bf16": "bfloat16", "fast-int8": "int8"}[preset]
    missing = processor.lacks(weights)
    found, output = overrides(data, tmp_path, "--cpu", "--preset", preset)
    assert found == "{'fast_inference': True" + f", 'inference_weights': '{weights}'" * (not missing) + "}"
    assert (f"--preset {preset} is fast alone, without weights in {weights}: {missing}" in output) == bool(missing)
    found, output = overrides(data, tmp_path, "--gpus", 1, "--preset", preset)
    assert found == "{'fast_inference': True}"
    assert f"without weights in {weights}: it is for CPUs" in output


def test_two_kinds_of_half_precision_are_refused(data, tmp_path):
    arguments = [data / "bin", "--arch", OURS, "--save-dir", tmp_path / "run", "--cpu", "--dry-run"]
    said = script("scripts/train.sh", *arguments, "--preset", "fast-bf16", "--", "--amp", status=2)
    assert "error: --preset fast-bf16: half precision of another kind, --amp, is given: leave it out" in said
    assert train(data, tmp_path / "run", "fast", "--amp")[0].amp


@pytest.mark.parametrize("has", [True, False])
def test_a_processor_is_asked_before_bfloat16(has, monkeypatch):
    """By a faked capability: without the instructions the preset leaves it out, for a CPU, and says so."""
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: has)
    training = ["data", "--criterion", SMOOTHED, "--optimizer", "adam"]
    said, words = apply_preset.apply("fast-bf16", OURS, training, cpu=True)
    assert ("--autocast-bf16" in words) == has
    assert said.endswith("; no --autocast-bf16: this CPU has no instructions for bfloat16") != has
    assert f"fused_{SMOOTHED}" in words
    said, words = apply_preset.apply("fast-bf16", "roberta_baseline_tiny", ["--criterion", "masked_lm"], True)
    assert ("autocast_masked_lm" in words) == has
    assert "--autocast-bf16" in apply_preset.apply("fast-bf16", OURS, training, cpu=False)[1], "a GPU is not asked here"


@pytest.mark.parametrize("device", [["--cpu"], ["--gpus", "1"]], ids=str)
def test_it_is_asked_about_the_device_of_the_training(data, tmp_path, device):
    """A Python that answers as the preset does, with what it was asked: the processor of this machine is any."""
    asked = tmp_path / "python"
    asked.write_text(
        f"""#!/bin/sh
case "$*" in *apply-preset*) printf '%s\\0' note "$@" ;; *) exec '{sys.executable}' "$@" ;; esac
"""
    )
    asked.chmod(0o755)
    arguments = [data / "bin", "--arch", OURS, "--save-dir", tmp_path / "run", *device, "--preset", "fast-bf16"]
    output = script("scripts/train.sh", *arguments, "--dry-run", PYTHON=str(asked))
    (command,) = (line for line in output.splitlines() if "apply-preset" in line)
    options, _, _ = command.partition(" -- ")
    assert ("--cpu" in options.split()) == (device == ["--cpu"])


@pytest.mark.parametrize(
    ("machine", "instructions", "onednn", "expected"),
    [
        ("x86_64", (False, True), False, True),
        ("x86_64", (True, False), True, True),
        ("x86_64", (False, False), True, False),  # emulated with AVX-512
        ("aarch64", (False, False), True, True),
        ("aarch64", (False, False), False, False),
    ],
)
def test_which_processors_multiply_bfloat16(machine, instructions, onednn, expected, monkeypatch):
    import torch

    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    for name, has in zip(("_is_avx512_bf16_supported", "_is_amx_tile_supported"), instructions):
        monkeypatch.setattr(torch.cpu, name, lambda has=has: has, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn, raising=False)
    assert processor.multiplies_bfloat16.__wrapped__() == expected
