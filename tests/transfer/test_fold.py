"""Folded models compute what the symmetric and pairwise models computed, in a fairseq without the plugin too."""

import os
import re
import subprocess
from argparse import Namespace

import pytest
import torch
from builders import batch, build, dictionary, run, save
from fairseq import checkpoint_utils
from fairseq.sequence_generator import SequenceGenerator
from running import forked
from transfer_trainings import MASKED_LM, TRANSLATION
from zygote import quick_python

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import CheckpointError, safe_load
from fairseq_plugins.transfer.fold import fold_checkpoint, fold_weights

EVERYWHERE = "--attention-compatibility pairwise"
#: compatibility, projection, and heads of keys and values
FOLDABLE = {
    "transformer": [
        ("symmetric", "linear"),
        ("pairwise", "linear"),
        ("encoder=symmetric,decoder=pairwise", "linear"),
        ("cross=pairwise,decoder=symmetric", "linear"),
        ("dot", "identity-query"),
        ("dot", "shared-key-value"),
        ("dot", "shared"),
        ("pairwise", "shared"),
        ("cross=pairwise", "encoder=shared,decoder=identity-query,cross=shared-key-value"),
        ("dot", "linear", "1"),
        ("encoder=pairwise", "decoder=identity-query,cross=shared-key-value", "decoder=1,cross=2"),
    ],
    "roberta": [
        ("symmetric", "linear"),
        ("pairwise", "linear"),
        ("pairwise", "shared-key-value"),
        ("dot", "linear", "2"),
    ],
}
CASES = [(family, choice) for family, choices in FOLDABLE.items() for choice in choices]


def perturbed(model):
    """Every parameter moved at random, biases and norms included: nothing is at its initial 0 or 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def pair(family, choice, plain, dtype=torch.float32):
    """A model, and a plain one (an architecture's name) with its folded weights."""
    names = ("attention_compatibility", "attention_projection", "attention_kv_heads")
    options = dict(zip(names, choice))
    model = perturbed(build(f"{family}_pairwise_tiny", **options)).to(dtype)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert fold_weights(weights, Namespace(**options))
    folded = build(plain).to(dtype)
    folded.load_state_dict(weights)
    return model, folded.eval()


@pytest.mark.parametrize(("family", "choice"), CASES)
def test_stock_fairseq_computes_the_same_from_folded_weights(family, choice):
    model, stock = pair(family, choice, family)
    assert not type(stock).__module__.startswith("fairseq_plugins")
    for left_pad in (True, False):
        logits, text = run(model, left_pad)
        torch.testing.assert_close(run(stock, left_pad)[0][text], logits[text], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("choice", FOLDABLE["transformer"])
def test_folding_is_exact(choice):
    """To rounding in float64, where our own baseline keeps that precision throughout."""
    model, plain = pair("transformer", choice, "transformer_baseline_tiny", torch.float64)
    logits, text = run(model)
    torch.testing.assert_close(run(plain)[0][text], logits[text], atol=1e-12, rtol=1e-12)


def test_beam_search_finds_the_same_hypotheses():
    """Incremental decoding with reordered caches, pairwise at every site, in our baseline and in stock fairseq."""
    src, lengths, _ = batch()
    found = []
    model, stock = pair("transformer", ("pairwise", "linear"), "transformer")
    for searched in (model, stock):
        generator = SequenceGenerator([searched], dictionary(), beam_size=3, max_len_b=12)
        sample = {"net_input": {"src_tokens": src, "src_lengths": lengths}}
        found.append([hypothesis for sentence in generator.generate([searched], sample) for hypothesis in sentence])
    assert len({tuple(hypothesis["tokens"].tolist()) for hypothesis in found[0]}) > 3
    for ours, theirs in zip(*found):
        assert ours["tokens"].tolist() == theirs["tokens"].tolist()
        torch.testing.assert_close(theirs["positional_scores"], ours["positional_scores"], atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def translation(train):
    return train(TRANSLATION, "pairwise", EVERYWHERE)


WITHOUT_PLUGIN = """
import functools, sys, torch
torch.load = functools.partial(torch.load, weights_only=False)  # or stock fairseq reads no checkpoint
from fairseq import checkpoint_utils
models, cfg = checkpoint_utils.load_model_ensemble([sys.argv[1]], arg_overrides={"data": sys.argv[2]})
inputs = torch.load(sys.argv[3])
with torch.no_grad():
    models[0].train()(*inputs)  # from then on fairseq 0.12.2 does without its fused layer, which torch 2 breaks
    torch.save((cfg.model._name, models[0].eval()(*inputs)[0]), sys.argv[4])
assert "fairseq_plugins" not in sys.modules
"""


def in_stock_fairseq(checkpoint, data, inputs, folder):
    """The architecture's name and the logits of a fresh process that never sees the plugin."""
    torch.save(inputs, folder / "inputs.pt")
    arguments = map(str, (checkpoint, data, folder / "inputs.pt", folder / "outputs.pt"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [quick_python(), "-c", WITHOUT_PLUGIN, *arguments], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "outputs.pt")


def in_the_plugin(checkpoint, data, inputs):
    models, _ = checkpoint_utils.load_model_ensemble([str(checkpoint)], arg_overrides={"data": str(data)})
    with torch.no_grad():
        return models[0].eval()(*inputs)[0]


def loss(checkpoint, data, plugin, task):
    options = ["--task", task, "--user-dir", plugin, "--cpu", "--valid-subset", "valid", "--log-format", "simple"]
    output = forked("validate", data, "--path", checkpoint, "--max-tokens", "300", "--num-workers", "0", *options)
    return float(re.findall(r"\bloss ([\d.]+)", output)[-1])


def test_a_trained_translation_model_runs_without_the_plugin(translation, corpus, plugin, tmp_path, capsys):
    folded, data = tmp_path / "new" / "stock.pt", corpus / "bin"
    assert cli.main(["fold-checkpoint", str(translation), str(folded)]) == 0
    said = capsys.readouterr().err
    assert "transformer_pairwise_iwslt_de_en -> transformer_iwslt_de_en" in said
    assert "folded 3 of 3 attention modules" in said
    inputs = (torch.tensor([[4, 5, 6, 2], [1, 7, 8, 2]]), torch.tensor([4, 3]), torch.tensor([[2, 6, 5], [2, 8, 7]]))
    arch, logits = in_stock_fairseq(folded, data, inputs, tmp_path)
    assert arch == "transformer_iwslt_de_en"
    torch.testing.assert_close(logits, in_the_plugin(translation, data, inputs), atol=1e-5, rtol=1e-5)

    state = safe_load.load_checkpoint(folded)
    assert state["last_optimizer_state"] is None
    assert not [name for name in vars(state["cfg"]["model"]) if name.startswith(("attention_c", "neural_"))]
    assert loss(folded, data, plugin, "translation") == loss(translation, data, plugin, "translation")


def test_a_trained_masked_language_model_runs_without_the_plugin(train, corpus, plugin, tmp_path):
    trained, data = train(MASKED_LM, "pairwise"), corpus / "mono"
    fold_checkpoint(trained, tmp_path / "stock.pt")
    inputs = (torch.tensor([[0, 4, 5, 6, 2], [0, 7, 8, 2, 1]]),)
    arch, logits = in_stock_fairseq(tmp_path / "stock.pt", data, inputs, tmp_path)
    assert arch == "roberta_base"
    text = inputs[0] != 1
    torch.testing.assert_close(logits[text], in_the_plugin(trained, data, inputs)[text], atol=1e-5, rtol=1e-5)
    assert loss(tmp_path / "stock.pt", data, plugin, "masked_lm") == loss(trained, data, plugin, "masked_lm")


def rewritten(source, path, change):
    state = safe_load.load_checkpoint(source)
    change(state)
    torch.save(state, path)
    return path


def test_precision_classification_heads_and_averages_are_kept(train, tmp_path):
    def change(state):
        state["model"] = {name: tensor.half() for name, tensor in state["model"].items()}
        for layer, classes in (("dense", 16), ("out_proj", 3)):
            state["model"][f"classification_heads.task.{layer}.weight"] = torch.randn(classes, 16).half()
            state["model"][f"classification_heads.task.{layer}.bias"] = torch.randn(classes).half()
        state["extra_state"]["ema"] = {name: tensor.float() for name, tensor in state["model"].items()}

    path = rewritten(train(MASKED_LM, "pairwise"), tmp_path / "half.pt", change)
    fold_checkpoint(path, tmp_path / "stock.pt")
    state = safe_load.load_checkpoint(tmp_path / "stock.pt")
    assert {tensor.dtype for tensor in state["model"].values()} == {torch.float16}
    head = [name for name in state["model"] if name.startswith("classification_heads.")]
    before = safe_load.load_checkpoint(path)["model"]
    assert len(head) == 4
    assert all(torch.equal(state["model"][name], before[name]) for name in head)
    average = state["extra_state"]["ema"]
    assert set(average) == set(state["model"])
    for name, tensor in average.items():
        assert torch.equal(tensor.half(), state["model"][name]), name


def test_a_matched_width_becomes_the_stock_option(train, corpus, tmp_path):
    """``--match-parameters-of`` widens layers without saying so in a stock option."""
    matched = train(TRANSLATION, "pairwise", f"{EVERYWHERE} --match-parameters-of neuralqkv")
    fold_checkpoint(matched, tmp_path / "stock.pt")
    options = safe_load.load_checkpoint(tmp_path / "stock.pt")["cfg"]["model"]
    assert options.encoder_ffn_embed_dim > 24
    assert options.decoder_ffn_embed_dim > options.encoder_ffn_embed_dim
    assert not hasattr(options, "match_parameters_of")
    inputs = (torch.tensor([[4, 5, 2]]), torch.tensor([3]), torch.tensor([[2, 6, 5]]))
    _, logits = in_stock_fairseq(tmp_path / "stock.pt", corpus / "bin", inputs, tmp_path)
    torch.testing.assert_close(logits, in_the_plugin(matched, corpus / "bin", inputs), atol=1e-5, rtol=1e-5)


def test_what_cannot_be_folded_is_said(train, translation, tmp_path, capsys):
    neural = train(TRANSLATION, "pairwise", "--attention-projection decoder=neural")
    save(nonlinear := tmp_path / "nonlinear.pt", "roberta_nonlinearquery_tiny")
    stock = rewritten(
        translation,
        tmp_path / "other.pt",
        lambda state: vars(state["cfg"]["model"]).update(arch="fconv", _name="fconv"),
    )
    target = tmp_path / "out.pt"
    for source, sentence in (
        (neural, "the q, k, out projections of decoder.layers.0.self_attn are networks"),
        (nonlinear, "the q projection of encoder.sentence_encoder.layers.0.self_attn is a network"),
        (stock, "its architecture fconv is none of this plugin's"),
        (tmp_path / "missing.pt", "missing.pt"),
        (__file__, "test_fold.py"),
    ):
        assert cli.main(["fold-checkpoint", str(source), str(target)]) == 1
        said = capsys.readouterr().err
        *_, said = said.splitlines()  # what a handler of an earlier training logs comes before
        assert said.startswith("fold-checkpoint: error: ")
        assert sentence in said
    assert not target.exists()


def test_a_checkpoint_without_an_architecture_is_refused(tmp_path):
    torch.save({"model": {}}, tmp_path / "nameless.pt")
    with pytest.raises(CheckpointError, match="names its architecture"):
        fold_checkpoint(tmp_path / "nameless.pt", tmp_path / "out.pt")
