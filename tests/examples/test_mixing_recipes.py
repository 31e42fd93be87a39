"""The recipes of examples/value_aware: their commands, and whole runs with --smoke from raw text to the curves."""

import json
import re
import shlex

import pytest
from choices import KERNELS, SPARSE
from fairseq import options
from pipeline_tools import ROOT, script, snapshot

pytest.importorskip("tokenizers")
pytest.importorskip("matplotlib")

WIKITEXT2 = "examples/value_aware/wikitext2.sh"
WIKITEXT103 = "examples/value_aware/wikitext103.sh"


def commands(output):
    """The training command of a dry run as fairseq reads it, and the words of the analysis command."""
    lines = output.splitlines()
    training = shlex.split(next(line for line in lines if line.startswith("fairseq-train ")))[1:]
    analysis = shlex.split(next(line for line in lines if " analyse-attention " in line))
    return options.parse_args_and_arch(options.get_training_parser(), training), analysis


def test_every_recipe_is_run_here():
    assert {path.name for path in (ROOT / "examples" / "value_aware").glob("*.sh")} == {
        "wikitext2.sh",
        "wikitext103.sh",
    }


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("family", ["lm", "mlm"])
def test_the_kernel_is_trained_with(family, kernel, data, tmp_path):
    variant = f"{family}-{kernel}"
    output = script(WIKITEXT2, "--dry-run", "--cpu", "--data-dir", data / "bin", "--runs", tmp_path / "runs",
                    "--variant", variant, "--seed", 3)  # fmt: skip
    args, analysis = commands(output)
    assert (args.attention_kernel, args.seed) == (kernel, 3)
    task, arch = {
        "lm": ("language_modeling", "transformer_lm_baseline_tiny"),
        "mlm": ("masked_lm", "roberta_baseline_tiny"),
    }[family]
    assert (args.task, args.arch) == (task, arch)
    assert args.save_dir == str(tmp_path / "runs" / f"{variant}-seed3")
    assert f"{args.save_dir}/checkpoint_best.pt" in analysis
    assert "--cpu" in analysis
    assert snapshot(tmp_path) == []


def test_wikitext103_is_fairseqs_recipe(data, tmp_path):
    """examples/language_model: 512 tokens, 32,768 an update, inverse square root from 5e-4, 50,000 updates."""
    output = script(WIKITEXT103, "--dry-run", "--gpus", 1, "--data-dir", data / "bin", "--runs", tmp_path / "runs")
    args, _ = commands(output)
    assert (args.arch, args.tokens_per_sample, args.sample_break_mode) == ("transformer_lm_baseline", 512, "none")
    assert args.max_tokens * args.update_freq[0] == 32768
    assert (args.optimizer, args.adam_betas, args.weight_decay, args.clip_norm) == ("adam", "(0.9, 0.98)", 0.01, 0.0)
    assert (args.lr, args.lr_scheduler, args.warmup_updates) == ([5e-4], "inverse_sqrt", 4000)
    assert (args.warmup_init_lr, args.max_update, args.dropout) == (1e-7, 50_000, 0.1)
    assert args.share_decoder_input_output_embed


@pytest.mark.parametrize("variant", ["lm-exp", "mlm-poly"])
def test_smoke_goes_from_raw_text_to_the_curves(variant, data, tmp_path):
    arguments = ["--smoke", "--cpu", "--data-dir", data, "--runs", tmp_path, "--variant", variant]
    output = script(WIKITEXT2, *arguments)
    assert "finished: 6 updates" in output
    analysis = tmp_path / f"{variant}-seed1" / "analysis"
    assert (analysis / "curves.png").stat().st_size > 10_000
    content = json.loads((analysis / "analysis.json").read_text())
    assert [(part["mixing"], part["r"]) for part in content["results"]] == [
        ("dense", 0),
        *((name, r) for r in (1, 4) for name in SPARSE),
    ]
    if variant == "lm-exp":
        again = script(WIKITEXT2, *arguments, "--resume")
        assert "nothing to do" in again
        assert "parts to do" not in again
    table = script(WIKITEXT2, "--table", "--dry-run", "--data-dir", data, "--runs", tmp_path)
    compared = re.findall(r"compare-analyses (\S+) --baseline (\S+) ", table)
    assert compared == ([(f"{tmp_path}/lm-exp-seed1/", "lm-exp")] if variant == "lm-exp" else [])


def test_wikitext103_smoke(data, tmp_path):
    output = script(WIKITEXT103, "--smoke", "--cpu", "--data-dir", data, "--runs", tmp_path, "--variant", "relu")
    assert "| all (dense) |" in output


@pytest.mark.parametrize(("recipe", "families"), [(WIKITEXT2, ("lm-", "mlm-")), (WIKITEXT103, ("",))])
def test_help_and_unknown_variants(recipe, families):
    text = script(recipe, "--help")
    for option in ("--variant", "--from", "--data-dir", "--runs", "--table", "--smoke", "--resume", "Examples:"):
        assert option in text
    known = script(recipe, "--variant", "best", status=2).partition("--variant best: choose one of ")[2].split()
    assert sorted(known) == sorted(f"{family}{kernel}" for family in families for kernel in KERNELS)
    assert known[0] == f"{families[0]}exp", "the default"
