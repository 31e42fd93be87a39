"""The command: its numbers are fairseq's own, it resumes, it refuses, and it writes what it says."""

import csv
import json
import logging
import re
import sys

import pytest
import tiny_training
from choices import SPARSE
from running import forked

from fairseq_plugins import cli

KINDS = {
    "lm": (
        "mono",
        tiny_training.KINDS["lm"].replace("transformer_lm", "transformer_lm_baseline") + " --attention-kernel poly",
    ),
    "stock": ("mono", tiny_training.KINDS["lm"]),
    "mlm": ("mono", tiny_training.KINDS["mlm"].replace("roberta_base", "roberta_pairwise_base")),
    "translation": (
        "bin",
        tiny_training.KINDS["adam"].replace("_iwslt", "_baseline_iwslt") + " --attention-kernel elu1",
    ),
}
R = ("--r", "1,2")


@pytest.fixture(autouse=True)
def _plots(request, monkeypatch):
    """Pictures take the command longer than all else: one test has them, the others no matplotlib."""
    if request.function is not test_what_it_writes:
        monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.fixture(scope="module")
def checkpoint(corpus, tmp_path_factory):
    """``checkpoint(kind)``: a trained model, and its data."""
    done = {}

    def train(kind):
        data, options = KINDS[kind]
        if kind not in done:
            options = f"{options} {tiny_training.AT_THE_END}"
            done[kind] = tiny_training.train(corpus, tmp_path_factory.mktemp(kind), options, updates=30)
        return done[kind], corpus / data

    return train


def analyse(*arguments, status=0):
    assert cli.main(["analyse-attention", *map(str, arguments), "--cpu"]) == status
    logging.getLogger("fairseq").setLevel(logging.NOTSET)  # the command quietens fairseq for its own process


def quality(folder):
    with open(folder / "quality.csv", encoding="utf-8") as stream:
        return {(row["mixing"], int(row["r"])): row for row in csv.DictReader(stream)}


# every mixing, and both numbers of keys; what a mixing computes is nothing to whose checkpoint it is
@pytest.mark.parametrize(
    ("kind", "mixings", "r"), [("lm", ",".join(SPARSE), "2"), ("stock", "value-aware-r", "1")], ids=["lm", "stock"]
)
def test_losses_are_those_of_eval_lm(kind, mixings, r, checkpoint, plugin, tmp_path):
    """With the option given as --model-overrides, in blocks of 16 tokens."""
    path, data = checkpoint(kind)
    analyse(
        *(path, data, "--out", tmp_path, "--mixings", mixings, "--r", r),
        *("--tokens-per-sample", 16, "--max-tokens", 64),
    )
    rows = quality(tmp_path)
    assert set(rows) == {("dense", 0), *((mixing, int(r)) for mixing in mixings.split(","))}
    for (mixing, r), row in rows.items():
        overrides = f"{{'attention_mixing': '{mixing}', 'attention_r': '{r or 1}'}}"
        output = forked(
            *("eval-lm", data, "--user-dir", plugin, "--path", path, "--gen-subset", "valid", "--cpu"),
            *("--max-tokens", "64", "--tokens-per-sample", "16", "--model-overrides", overrides),
        )
        assert float(row["perplexity"]) == pytest.approx(
            float(re.search(r"Perplexity: ([\d.]+)", output)[1]), abs=0.006
        )


def test_a_masked_lm_is_scored_on_its_masks(checkpoint, plugin, tmp_path):
    path, data = checkpoint("mlm")
    analyse(path, data, "--out", tmp_path, *R, "--mixings", "top-r", "--max-tokens", 160)
    for (mixing, r), row in quality(tmp_path).items():
        overrides = f"{{'attention_mixing': '{mixing}', 'attention_r': '{r or 1}'}}"
        output = forked(
            *("validate", data, "--user-dir", plugin, "--path", path, "--valid-subset", "valid", "--cpu"),
            *("--task", "masked_lm", "--max-tokens", "160", "--log-format", "simple", "--model-overrides", overrides),
        )
        bits = float(re.findall(r"\bloss ([\d.]+)", output)[-1])
        assert float(row["loss"]) / 0.693147 == pytest.approx(bits, abs=0.002)


def test_bleu_is_that_of_generate(checkpoint, plugin, tmp_path):
    """Sparse in the encoder alone, as the override of that site has it; the other sites stay dense."""
    path, data = checkpoint("translation")
    arguments = [path, data, "--out", tmp_path, "--split", "valid", "--r", 1, "--mixings", "top-r"]
    analyse(*arguments, "--sites", "encoder", "--bleu", "--beam", 2)
    rows = quality(tmp_path)
    for (mixing, r), row in rows.items():
        overrides = f"{{'attention_mixing': 'encoder={mixing}', 'attention_r': '{r or 1}'}}"
        output = forked(
            *("generate", data, "--user-dir", plugin, "--path", path, "--gen-subset", "valid", "--beam", "2", "--cpu"),
            *("--model-overrides", overrides, "--scoring", "sacrebleu"),
        )
        assert float(row["bleu"]) == pytest.approx(float(re.search(r"BLEU\S* = ([\d.]+)", output)[1]), abs=0.006)
    with open(tmp_path / "errors.csv", encoding="utf-8") as stream:
        assert {row["site"] for row in csv.DictReader(stream)} == {"encoder"}


def test_it_goes_on_where_it_was_stopped(checkpoint, tmp_path, capsys, monkeypatch):
    from fairseq_plugins.analysis import sweep

    path, data = checkpoint("lm")
    arguments = [path, data, "--tokens-per-sample", 16, *R]
    analyse(*arguments, "--out", tmp_path / "whole")
    original, parts = sweep.Sweep._part, []

    def stop_at_the_third(self, *args):
        if len(parts) == 2:
            raise KeyboardInterrupt
        parts.append(args)
        return original(self, *args)

    monkeypatch.setattr(sweep.Sweep, "_part", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        analyse(*arguments, "--out", tmp_path / "stopped")
    monkeypatch.undo()
    capsys.readouterr()
    analyse(*arguments, "--out", tmp_path / "stopped")
    assert f"{1 + 2 * len(SPARSE) - 2} parts to do" in capsys.readouterr().out
    whole, stopped = (json.loads((tmp_path / name / "analysis.json").read_text()) for name in ("whole", "stopped"))
    assert whole["results"] == stopped["results"]
    assert whole["weights"] == stopped["weights"]
    analyse(*arguments, "--out", tmp_path / "stopped")
    assert "to do" not in capsys.readouterr().out

    analyse(*arguments, "--out", tmp_path / "stopped", "--max-tokens", 64, status=1)
    assert "has results for another max_tokens 2048 (now 64): give another --out" in capsys.readouterr().err


def test_what_it_writes(checkpoint, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path, data = checkpoint("mlm")
    analyse(path, data, "--out", tmp_path, *R, "--mixings", "top-r,value-aware-r", "--batches", 1)
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table] == ["r", "---", "all (dense)", "1", "2"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "analysis.json", "quality.csv", "errors.csv", "weights.csv", "curves.png", "heatmaps.png",
    }  # fmt: skip
    rows = quality(tmp_path)
    for r in (1, 2):
        assert 0 < float(rows["value-aware-r", r]["output_error"]) < float(rows["top-r", r]["output_error"])
    assert float(rows["dense", 0]["output_error"]) == 0
    with open(tmp_path / "weights.csv", encoding="utf-8") as stream:
        assert {row["quantity"] for row in csv.DictReader(stream)} == {"entropy", "top 1", "top 2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixings", "top-k"], f"--mixings top-k: 'top-k' is unknown; known: {', '.join(SPARSE)}"),
        (["--mixings", "dense"], "'dense' is unknown"),
        (["--r", "1,x"], "--r 1,x: give positive integers"),
        (["--r", "0"], "--r 0: give positive integers"),
        (["--sites", "middle"], "--sites middle: 'middle' is unknown; known: encoder, decoder, cross"),
        (["--sites", "cross"], "the model has no attention at cross; it has: encoder"),
        (["--split", "nosuch"], "nosuch"),
        (["--value-norm", "3"], "--attention-value-norm 3: choose from 1, 2"),
        (["--swaps", "-1"], "--attention-value-aware-swaps -1: must not be negative"),
    ],
)
def test_it_refuses(arguments, message, checkpoint, tmp_path, capsys):
    path, data = checkpoint("mlm")
    analyse(path, data, "--out", tmp_path / "out", *arguments, status=1)
    assert message in capsys.readouterr().err
    analyse(tmp_path / "no.pt", data, "--out", tmp_path / "out", status=1)
    assert "no.pt" in capsys.readouterr().err


def test_what_is_longer_than_the_model_is_refused_or_counted(checkpoint, tmp_path, capsys):
    path, data = checkpoint("mlm")  # 64 positions
    long = (path, data, "--out", tmp_path, "--r", "1", "--mixings", "top-r", "--tokens-per-sample", 100)
    analyse(*long, status=1)
    amount = "1 of 2 sentences (100 tokens)"  # of 144 tokens, and an <s> for each block
    assert f"{amount} of valid are longer than the model takes (64 tokens); give a smaller" in capsys.readouterr().err
    last = f"analyse-attention: {amount} were left out: longer than the model takes (64 tokens)"
    for _ in range(2):  # the second time there is nothing to do
        analyse(*long, "--skip-invalid-size-inputs-valid-test")
        assert capsys.readouterr().out.endswith(f"\n{last}\n")
