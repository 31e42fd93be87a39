"""Keys of a hydra configuration that a model of this plugin does not know, refused as stock's models refuse theirs."""

import sys
from argparse import ArgumentParser

import pytest
from builders import SMALL, TASKS, family_of
from fairseq import models
from omegaconf import OmegaConf

from fairseq_plugins import compat
from fairseq_plugins.models.option_names import model_option_names

ARCHITECTURES = ["transformer_neuralqkv", "roberta_pairwise_tiny", "transformer_lm_symmetric_tiny"]


def build(name, from_checkpoint=False, **keys):
    model = {"_name": name, **SMALL[family_of(name)], **keys}
    cfg = OmegaConf.create({"task": {"tokens_per_sample": 24}, "model": model})
    OmegaConf.set_struct(cfg, True)
    return models.build_model(cfg.model, TASKS[family_of(name)](), from_checkpoint)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("neural_qkv_expansionn", "neural_qkv_expansion"),
        ("attention-kernel", "attention_kernel"),
        ("attention_dropuot", "attention_dropout"),
        ("zzz", None),
    ],
)
def test_unknown_keys_are_refused_by_the_nearest_name(arch, key, nearest):
    hint = f": did you mean {nearest}\\?" if nearest else "$"
    with pytest.raises(ValueError, match=f"model.{key}: {arch} has no such option{hint}"):
        build(arch, **{key: 3})
    build(arch, from_checkpoint=True, **{key: 3})  # what an older version accepted can still be loaded


def test_what_stock_refuses_is_refused():
    """The dataclass of stock's language models and ours know the same names, but for ours."""
    for key in ("encoder_layers", "encoder_embed_dim", "max_source_position"):
        for arch in ("transformer_lm", "transformer_lm_baseline_tiny"):
            with pytest.raises(Exception, match=key):
                build(arch, **{key: 3})


@pytest.mark.parametrize(
    ("arch", "keys"),
    [
        ("transformer_neuralqkv", {"arch": "transformer_neuralqkv", "encoder_layerdrop": 0.1, "output_bias": True}),
        ("transformer_neuralqkv", {"max_source_positions": 9, "export": False, "relu_dropout": 0.0}),
        ("transformer_neuralqkv", {"encoder": {"embed_dim": 24, "attention_heads": 2, "layers": 1}}),
        ("transformer_neuralqkv", {"match_parameters_of": None, "neural_qkv_expansion": 3.0, "fast_dropout": True}),
        ("roberta_pairwise_tiny", {"max_positions": 12, "tokens_per_sample": "${task.tokens_per_sample}"}),
        ("roberta_pairwise_tiny", {"encoder_learned_pos": False, "load_checkpoint_heads": True}),
        ("roberta_pairwise_tiny", {"untie_weights_roberta": True, "checkpoint_activations": True}),
        ("transformer_lm_symmetric_tiny", {"tokens_per_sample": "${task.tokens_per_sample}", "add_bos_token": False}),
        ("transformer_lm_symmetric_tiny", {"scale_attn": True, "tpu": False, "compile_layers": None}),
    ],
)
def test_what_models_read_is_accepted(arch, keys):
    build(arch, **keys)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_everything_that_the_command_line_takes_is_known(arch):
    parser = ArgumentParser(add_help=False)
    models.ARCH_MODEL_REGISTRY[arch].add_args(parser)
    assert {action.dest for action in parser._actions} <= model_option_names(arch)


def test_other_models_are_left_to_fairseq():
    build("roberta", zzz=3)
    before = sys.modules["fairseq.models"].build_model
    compat.apply()
    assert sys.modules["fairseq.models"].build_model is before
