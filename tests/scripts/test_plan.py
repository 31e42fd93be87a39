"""fairseq-plugins plan and the recipes' --plan: what they say is what a training does."""

import re

import pytest
import torch
from pipeline_tools import ROOT, TINY, script, snapshot, train_arguments

from fairseq_plugins.checkpoints.building import Vocabularies, build
from fairseq_plugins.cli import main
from fairseq_plugins.training_plan import (
    ASSUMED_FLOPS,
    SENTENCE,
    DataSizes,
    Hardware,
    activation_bytes,
    forward,
    parse_training,
    plan_training,
    sequence_length,
)

RECIPES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*/*.sh") if path.name != "glue.sh"
)  # glue.sh fine-tunes what is there: fairseq-plugins glue-plan

COMMON = ["--optimizer", "adam", "--max-update", "1000", "--share-all-embeddings"]


def plan(arch, *more, sizes=None, hardware=None, tokens="512"):
    words = ["data", "--arch", arch, "--max-tokens", tokens, "--optimizer", "adam", *map(str, more)]
    sizes = sizes or DataSizes(vocabulary=1000)
    return plan_training(parse_training(words), sizes, hardware or Hardware(1))


def test_plan_counts_what_training_counts(data, tmp_path):
    arguments = train_arguments(data, tmp_path / "run", updates=2)
    shown = script("scripts/train.sh", *arguments, "--plan", "--", *TINY)
    assert snapshot(tmp_path) == []
    trained = script("scripts/train.sh", *arguments, "--", *TINY)
    count = re.search(r"num. shared model params: ([\d,]+)", trained)[1]
    assert f"parameters   {count} with " in shown
    assert "update       200 tokens = 200 x 1 CPU process(s) x update-freq 1" in shown
    assert "updates      2\n" in shown


@pytest.mark.parametrize("arch", ["transformer_baseline_iwslt_de_en", "roberta_pairwise_small", "transformer_lm_gpt"])
def test_activations_are_those_that_the_profiler_sees(arch):
    """The memory that a forward pass leaves allocated, by torch's own count; it includes tensors only just computed."""
    sizes = {
        "transformer_baseline_iwslt_de_en": [*("--encoder-layers", 2, "--decoder-layers", 2)],
        "roberta_pairwise_small": ["--task", "masked_lm", "--tokens-per-sample", 64, "--max-positions", 64],
        "transformer_lm_gpt": ["--task", "language_modeling", "--tokens-per-sample", 64, "--decoder-layers", 2],
    }[arch]
    words = ["data", "--arch", arch, "--max-tokens", "512", "--optimizer", "adam", "--attention-dropout", "0"]
    args = parse_training([*words, *map(str, sizes)])
    kind = arch.split("_")[0] if "lm" not in arch else "transformer_lm"
    model = build(args, Vocabularies(1000, 1000))
    counted = activation_bytes(model, kind, args, 1000, half=False)

    length = sequence_length(args, kind)
    rows = 512 // length
    tokens = torch.arange(rows * length).reshape(rows, length) % 900 + 4
    with torch.profiler.profile(profile_memory=True) as profile:
        logits = forward(model, kind, tokens)
        loss = torch.log_softmax(logits, -1).sum()
    left = sum(event.self_cpu_memory_usage for event in profile.key_averages())
    assert loss.requires_grad
    assert counted * 512 == pytest.approx(left + logits.numel() * 4, rel=0.15)


def test_limits_batches_and_memory():
    sizes = DataSizes(vocabulary=1000, train_tokens=100_000, disk_gb=2)
    full = plan("transformer_baseline_tiny", "--max-epoch", 5, "--update-freq", 4, sizes=sizes, hardware=Hardware(2))
    assert (full.batch_tokens, full.updates, full.epochs) == (4096, 125, 5.0)
    assert full.seconds == pytest.approx(125 * 2048 * 6 * full.parameters / ASSUMED_FLOPS)
    known = plan("transformer_baseline_tiny", "--max-update", 50, hardware=Hardware(1, throughput=100))
    assert known.seconds == 50 * 512 / 100
    assert known.weights_memory == known.parameters * 16
    half = plan("transformer_baseline_tiny", "--max-update", 50, "--bf16")
    assert half.weights_memory == half.parameters * 20
    assert half.activations_memory < 0.8 * known.activations_memory
    assert plan("transformer_baseline_tiny", "--batch-size", 4).tokens_a_device == 4 * SENTENCE
    assert plan("transformer_baseline_tiny").updates is None
    assert full.cache.token == 2 * plan("transformer_sharedkv_tiny").cache.token > 0


def test_what_is_not_known_is_said(capsys):
    words = ["--vocabulary", "1000", "--cpu", "--", "data", "--arch", "transformer_baseline_tiny", *COMMON]
    assert main(["plan", *words, "--max-tokens", "100"]) == 0
    assert "time         not known here: give --throughput TOKENS/S" in capsys.readouterr().out
    assert main(["plan", "--vocabulary", "9", "--", "data", "--arch", "lstm", "--max-tokens", "9"]) == 1
    assert "plans are for transformer, roberta and transformer_lm models" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_tells_what_a_plan_needs(recipe):
    text = (ROOT / recipe).read_text(encoding="utf-8")
    for settings in re.findall(r'^source "\$ROOT/(scripts/settings/\w+\.sh)"', text, re.M):
        text += (ROOT / settings).read_text(encoding="utf-8")
    for name in ("VOCABULARY", "TRAIN_TOKENS", "DISK_GB"):
        assert re.search(rf"\b{name}=\d+", text), name


@pytest.mark.parametrize(
    "recipe", ["neural_qkv/multi30k", "value_aware/wikitext2", "attention_is_all_you_need/iwslt14"]
)
def test_a_recipes_plan(recipe, tmp_path):
    places = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    shown = script(f"examples/{recipe}.sh", "--plan", "--gpus", 8, "--throughput", 10000, *places)
    assert " on 8 GPU(s)\n" in shown
    assert re.search(r"updates      [\d,]+ \([\d.]+ epochs of [\d,]+ tokens\)", shown)
    assert "at 10,000 tokens/s a GPU, as given" in shown
    assert re.search(r"disk         [\d.]+ GB for data, ", shown)
    assert not re.search(r"^(fairseq-|bash |\S*python)", shown, re.MULTILINE)
    assert snapshot(tmp_path) == []
