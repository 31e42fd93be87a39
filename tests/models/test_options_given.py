"""What building a model does with the options that it is given: as stock, it writes back, and reads no more."""

from argparse import Namespace

import pytest
import tiny_training
import torch
from builders import SMALL, batch, build, dictionary, run
from fairseq import checkpoint_utils
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer_lm import TransformerLanguageModelConfig
from omegaconf import OmegaConf

from fairseq_plugins.checkpoints.convert import convert_checkpoint
from fairseq_plugins.models.grid import variant_options
from fairseq_plugins.models.scales import SCALES

#: family -> stock's architecture of a size
SIZED = {"transformer": "transformer_iwslt_de_en", "roberta": "roberta_base", "transformer_lm": "transformer_lm_gpt"}
CASES = [
    ("transformer", {}),
    ("transformer", {"encoder_layers_to_keep": "0", "decoder_layers_to_keep": "1,0", "max_source_positions": 50}),
    ("transformer", {"decoder_embed_dim": 24, "share_all_embeddings": True, "offload_activations": True}),
    ("roberta", {}),
    ("roberta", {"encoder_layers_to_keep": "0", "tokens_per_sample": 24}),
    ("roberta", {"max_positions": 30}),
    ("transformer_lm", {"tokens_per_sample": 28}),
    ("transformer_lm", {"decoder_layers_to_keep": "0", "max_target_positions": 30}),
]


def left(arch, family, extra, hydra):
    """The options after a model was built from them."""
    args = {name: value for name, value in SMALL[family].items() if not name.startswith("max_")}
    if family == "transformer_lm":  # fairseq's commands give it a whole dataclass, whatever the size
        defaults = vars(TransformerLanguageModelConfig())
        args = {name: value for name, value in {**defaults, **args}.items() if not str(value).startswith("${")}
        del args["decoder_normalize_before"]  # stock's sizes overwrite what they are given
    args = Namespace(**{**args, **extra, "_name": arch, "arch": arch})
    ARCH_CONFIG_REGISTRY[arch](args)
    words = dictionary()
    task = Namespace(source_dictionary=words, target_dictionary=words, max_positions=lambda: 20)
    options = OmegaConf.create(vars(args)) if hydra else args
    ARCH_MODEL_REGISTRY[arch].build_model(options, task)
    found = OmegaConf.to_container(options) if hydra else vars(options)
    return {name: value for name, value in found.items() if name not in ("arch", "_name")}


@pytest.mark.parametrize("hydra", [False, True])
@pytest.mark.parametrize(("family", "extra"), CASES)
def test_the_callers_options_are_left_as_stock_leaves_them(family, extra, hydra):
    ours = SIZED[family].replace(family, f"{family}_pairwise", 1)
    expected = left(SIZED[family], family, extra, hydra)
    assert left(ours, family, extra, hydra) == {**expected, **variant_options(family, "pairwise")}
    assert expected["max_target_positions" if family == "transformer_lm" else "max_source_positions"]


# --- scales -----------------------------------------------------------------------------------------------------------

OPTIONS = " ".join(f"--{name.replace('_', '-')}" for name in SCALES)


@pytest.mark.parametrize("arch", ["transformer_lm_gpt2_tiny"])
def test_stock_gives_scales_to_no_layer_of_a_language_model(arch, corpus, tmp_path):
    """Trained by either, loaded by either: no parameters of theirs, and the same logits."""
    options = f"{tiny_training.KINDS['lm']} {OPTIONS}"
    inputs = torch.tensor([[2, 5, 6, 7]])
    for trained, to, other in (("", "baseline", "_baseline"), ("_baseline", "stock", "")):
        names = [arch.replace("transformer_lm", f"transformer_lm{infix}") for infix in (trained, other)]
        path = tmp_path / names[0] / "checkpoint_last.pt"
        tiny_training.train(corpus, path.parent, options.replace("--arch transformer_lm ", f"--arch {names[0]} "), 1)
        convert_checkpoint(path, path.with_name("converted.pt"), to)
        logits = []
        for name, checkpoint in zip(names, (path, path.with_name("converted.pt"))):
            (model,), cfg, _ = checkpoint_utils.load_model_ensemble_and_task(
                [str(checkpoint)], {"data": str(corpus / "mono")}
            )
            assert cfg.model._name == name
            assert not [parameter for parameter in model.state_dict() if parameter.endswith(tuple(SCALES.values()))]
            with torch.no_grad():
                logits.append(model.eval()(inputs)[0])
        torch.testing.assert_close(*logits)


@pytest.mark.parametrize("family", ["transformer", "roberta"])
def test_scales_in_the_options_of_other_models(family):
    """Given from Python, stock's translation models have them, and RoBERTa's none."""
    models = []
    for arch in (family, f"{family}_baseline"):
        torch.manual_seed(5)
        models.append(build(arch, **dict.fromkeys(SCALES, True)).double().eval())
    assert list(models[0].state_dict()) == list(models[1].state_dict())
    assert ("decoder.layers.0.c_attn" in models[1].state_dict()) == (family == "transformer")
    (theirs, text), (ours, _) = map(run, models)
    torch.testing.assert_close(ours[text], theirs[text], rtol=0, atol=1e-6)


def test_models_that_once_had_scales_keep_them():
    """Language models of this plugin were trained with them: layers of stock's with them say what they compute."""
    stock = build("transformer_lm", Namespace(source_dictionary=dictionary(), target_dictionary=dictionary()),
                  **dict.fromkeys(SCALES, True)).double().eval()  # fmt: skip
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    assert "decoder.layers.1.w_resid" in stock.state_dict()
    ours = build("transformer_lm_baseline", **dict.fromkeys(SCALES, True)).double().eval()
    ours.load_state_dict(stock.state_dict())
    prev = batch()[2]
    torch.testing.assert_close(ours(prev)[0][prev != 1], stock(prev)[0][prev != 1], rtol=0, atol=1e-6)


def test_hydra_hands_scales_to_no_layer():
    args = {"_name": "transformer_baseline_tiny", **SMALL["transformer"], "scale_attn": True}
    options = OmegaConf.create(args)
    ARCH_CONFIG_REGISTRY[args["_name"]](options)
    words = dictionary()
    model = ARCH_MODEL_REGISTRY[args["_name"]].build_model(
        options, Namespace(source_dictionary=words, target_dictionary=words)
    )
    assert model.decoder.layers[0].attn_ln is None
    assert options.scale_attn
