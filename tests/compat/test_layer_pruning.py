"""Chosen layers of a trained model: what is left computes as the whole one does without the others."""

from argparse import Namespace

import pytest
import tiny_training
import torch
from builders import build, run
from fairseq import checkpoint_utils
from omegaconf import OmegaConf

from fairseq_plugins.checkpoints.safe_load import load_checkpoint

#: family -> choices of three layers
CHOICES = {
    "transformer": [
        {"encoder_layers_to_keep": "0,2"},
        {"decoder_layers_to_keep": "1"},
        {"encoder_layers_to_keep": "2,1", "decoder_layers_to_keep": "0,1"},
    ],
    "roberta": [{"encoder_layers_to_keep": "0,2"}],
    "transformer_lm": [{"decoder_layers_to_keep": "1,2"}],
}
#: stock models and ours, with each way in which options are held
CASES = [
    (arch, kept, form)
    for family, choices in CHOICES.items()
    for arch, form in ((family, "text"), (f"{family}_pairwise_tiny", "list"), (f"{family}_baseline", "hydra"))
    for kept in choices
]
THREE = {"encoder_layers": 3, "decoder_layers": 3}


def without_others(model, kept):
    """The whole model with its other layers taken out by hand."""
    for side in ("encoder", "decoder"):
        if f"{side}_layers_to_keep" in kept:
            stack = getattr(model, side)
            stack = getattr(stack, "sentence_encoder", stack)
            numbers = sorted(map(int, kept[f"{side}_layers_to_keep"].split(",")))
            stack.layers = torch.nn.ModuleList([stack.layers[number] for number in numbers])
            stack.num_layers = len(numbers)
    return model


@pytest.mark.parametrize(("arch", "kept", "form"), CASES)
def test_a_pruned_model_is_the_whole_one_without_the_others(arch, kept, form):
    """Loaded with the choice, and loaded once more from what is left with the options that are left, or the same."""
    whole = build(arch, **THREE).eval()
    weights = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    chosen = {name: [int(n) for n in v.split(",")] if form == "list" else v for name, v in kept.items()}
    pruned = build(arch, **THREE, **kept).eval()
    options = Namespace(arch=arch, _name=arch, **THREE, **chosen)
    options = OmegaConf.create(vars(options), flags={"struct": True}) if form == "hydra" else options
    pruned.load_state_dict(dict(weights), model_cfg=options)
    expected = run(without_others(whole, kept))[0]
    assert torch.equal(run(pruned)[0], expected)

    for side in ("encoder", "decoder"):
        layers = kept.get(f"{side}_layers_to_keep")
        assert getattr(options, f"{side}_layers") == (len(layers.split(",")) if layers else 3)
        assert getattr(options, f"{side}_layers_to_keep", None) is None
    sizes = {name: getattr(options, name) for name in THREE}
    for again in (options, Namespace(arch=arch, **THREE, **chosen)):
        left = build(arch, **sizes).eval()
        left.load_state_dict(pruned.state_dict(), model_cfg=again)
        assert torch.equal(run(left)[0], expected)


def test_layers_that_are_not_there_are_named():
    model = build("transformer_lm_baseline", decoder_layers=2)
    weights = model.state_dict()
    options = Namespace(arch="transformer_lm_baseline", decoder_layers_to_keep="0,1,5")
    with pytest.raises(ValueError, match=r"--decoder-layers-to-keep 0,1,5: the checkpoint has the layers \[0, 1\]"):
        model.load_state_dict(weights, model_cfg=options)


@pytest.mark.parametrize("cfg", [None, Namespace(), Namespace(arch=None, decoder_layers_to_keep="0"),
                                 Namespace(arch="ptt_transformer", encoder_layers_to_keep="0"),
                                 Namespace(arch="transformer", encoder_layers_to_keep=None),
                                 OmegaConf.create({"_name": "transformer_lm"})])  # fmt: skip
def test_whatever_is_not_pruned_stays_as_it_is(cfg):
    weights = build("transformer").state_dict()
    before = None if cfg is None else dict(cfg if OmegaConf.is_config(cfg) else vars(cfg))
    assert checkpoint_utils.prune_state_dict(weights, cfg) is weights
    assert before is None or dict(cfg if OmegaConf.is_config(cfg) else vars(cfg)) == before


# --- fairseq-train ----------------------------------------------------------------------------------------------------

TRAININGS = {
    "transformer": ("adam", "transformer_iwslt_de_en", "--encoder-layers-to-keep 0,2 --decoder-layers-to-keep 1,2"),
    "transformer_lm": ("lm", "transformer_lm", "--decoder-layers-to-keep 0,2"),
}


def load(path, data, **overrides):
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)], {"data": str(data), **overrides})
    return model.eval()


@pytest.mark.parametrize("family", TRAININGS)
def test_pruned_trainings_are_those_of_stock_go_on_and_load(family, corpus, tmp_path):
    """From one whole model: stock in one go, our baseline with an interruption; and pruned for evaluation alone."""
    kind, stock, kept = TRAININGS[family]
    options = f"{tiny_training.KINDS[kind].replace('-layers 1', '-layers 3')} --dropout 0 {tiny_training.AT_THE_END}"
    ours = stock.replace(family, f"{family}_baseline")
    data = corpus / options.split()[0]
    whole = tiny_training.train(corpus, tmp_path / "whole", options, 2)
    kept_only = f"{kept} --finetune-from-model {whole}"
    found = []
    for arch, stops in ((stock, [4]), (ours, [2, 4])):
        trained = options.replace(f"--arch {stock} ", f"--arch {arch} ")
        for updates in stops:
            path = tiny_training.train(corpus, tmp_path / arch, f"{trained} {kept_only}", updates)
        load(path, data)  # strictly
        found.append(load_checkpoint(path)["model"])
    assert found[0].keys() == found[1].keys()
    for name, tensor in found[0].items():
        if not name.endswith(("_float_tensor", "k_proj.bias")):  # no memory of anybody's, and no gradient but rounding
            torch.testing.assert_close(found[1][name], tensor, rtol=1e-3, atol=1e-5, msg=name)

    chosen = {o[2:].replace("-", "_"): v for o, v in zip(kept.split()[::2], kept.split()[1::2])}
    theirs, mine = load(whole, data, **chosen), load(whole, data, attention_kernel="exp", **chosen)
    inputs = (torch.tensor([[5, 6, 7, 2]]), torch.tensor([4]), torch.tensor([[2, 5, 6]]))
    inputs = inputs if family == "transformer" else inputs[:1]
    with torch.no_grad():
        torch.testing.assert_close(mine(*inputs)[0], theirs(*inputs)[0])
