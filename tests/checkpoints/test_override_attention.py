"""Attention changed at evaluation by --model-overrides: our checkpoints, stock ones, and those of hydra."""

import re
from argparse import Namespace

import pytest
import tiny_training
import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf
from running import forked

from fairseq_plugins.attention import AttentionConfig, StagedMultiheadAttention
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError
from fairseq_plugins.checkpoints.overrides import override_attention

RELU = "{'attention_kernel': 'relu'}"
KINDS = {
    "translation": (tiny_training.KINDS["adam"], "transformer_iwslt_de_en", "transformer_baseline_iwslt_de_en"),
    "masked_lm": (tiny_training.KINDS["mlm"], "roberta_base", "roberta_baseline_base"),
    "lm": (tiny_training.KINDS["lm"], "transformer_lm", "transformer_lm_baseline"),
}


@pytest.fixture(scope="module", params=KINDS)
def checkpoints(request, corpus, tmp_path_factory):
    """A stock checkpoint and one of our baseline."""
    options, stock, ours = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    options = options.replace(f"--arch {stock} ", "--arch {} ")
    found = [tiny_training.train(corpus, folder / name, options.format(name)) for name in (stock, ours)]
    return request.param, corpus / options.split()[0], found


def loss(kind, data, checkpoint, plugin, overrides):
    if kind == "lm":
        output = forked(
            *("eval-lm", data, "--user-dir", plugin, "--path", checkpoint, "--gen-subset", "valid", "--cpu"),
            *("--max-tokens", "160", "--tokens-per-sample", "16", "--num-workers", "0", "--model-overrides", overrides),
        )
        assert "Evaluated 0 tokens" not in output
        return float(re.search(r"Loss \(base 2\): ([\d.]+)", output)[1])
    task = {"translation": "translation", "masked_lm": "masked_lm"}[kind]
    output = forked(
        *("validate", data, "--user-dir", plugin, "--path", checkpoint, "--valid-subset", "valid", "--cpu"),
        *("--task", task, "--max-tokens", "160", "--log-format", "simple", "--num-workers", "0"),
        *("--model-overrides", overrides),
    )
    return float(re.findall(r"\bloss ([\d.]+)", output)[-1])


def test_the_option_reaches_stock_checkpoints_and_ours(checkpoints, plugin):
    """Another kernel changes the loss."""
    kind, data, found = checkpoints
    for checkpoint in found:
        plain, relu = (loss(kind, data, checkpoint, plugin, overrides) for overrides in ("{}", RELU))
        assert plain > 1
        assert plain != relu


def test_a_misspelt_name_ends_a_program(checkpoints, plugin):
    """fairseq-validate, which gives all of its own options as overrides, and fairseq-eval-lm."""
    kind, data, (_, checkpoint) = checkpoints
    with pytest.raises(AssertionError, match="no option has the name 'attention-mixing'"):
        loss(kind, data, checkpoint, plugin, "{'attention-mixing': 'top-r'}")


def test_the_models_are_the_baselines_with_the_option(checkpoints):
    """Naming what is there already changes nothing but the class."""
    kind, data, found = checkpoints
    tokens = torch.tensor([[4, 5, 6, 7, 2], [8, 9, 10, 11, 2]])
    given = (tokens, torch.tensor([5, 5]), tokens) if kind == "translation" else (tokens,)

    def loaded(path, **overrides):
        overrides = {"data": str(data), **overrides}
        (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)], overrides)
        return model.eval()

    for checkpoint in found:
        model = loaded(checkpoint, attention_kernel="elu1")
        attentions = [m for m in model.modules() if isinstance(m, StagedMultiheadAttention)]
        assert attentions
        assert {type(m.kernel).__name__ for m in attentions} == {"Elu1Kernel"}
    stock = checkpoint_utils.load_model_ensemble([str(found[0])], {"data": str(data)})[0][0].eval()
    same = loaded(found[0], attention_kernel="exp")
    assert type(same) is not type(stock)
    with torch.no_grad():
        torch.testing.assert_close(same(*given)[0], stock(*given)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hydra", [False, True])
def test_options_that_a_checkpoint_never_had(hydra):
    """As fairseq-hydra-train writes them, closed against unknown keys."""
    model = {"_name": "transformer_lm_pairwise_tiny", "decoder_layers": 1}
    cfg = OmegaConf.create({"model": model if hydra else {}}, flags={"allow_objects": True})
    if not hydra:
        cfg.model = Namespace(**model)
    OmegaConf.set_struct(cfg, True)
    state = {"cfg": cfg, "model": {"weight": torch.zeros(1)}}
    override_attention(Checkpoint("x.pt", state), {"attention_kernel": "poly", "beam": 5})
    assert cfg.model._name == "transformer_lm_pairwise_tiny"
    options = cfg.model if hydra else vars(cfg.model)
    assert options["attention_kernel"] == "poly"
    assert "beam" not in options
    assert set(AttentionConfig.from_options(Namespace(**options)).choices["kernel"].values()) == {"poly"}


def test_other_models_are_refused_by_name():
    state = {"cfg": {"model": {"_name": "lstm"}}, "model": {"weight": torch.zeros(1)}}
    with pytest.raises(CheckpointError, match=r"x\.pt: its architecture lstm has no counterpart"):
        override_attention(Checkpoint("x.pt", state), {"attention_kernel": "poly"})
    override_attention(Checkpoint("x.pt", state), {"beam": 5})
