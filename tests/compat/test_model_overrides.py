"""Overrides of a checkpoint's options: what reaches nothing is refused, what fairseq's documents override is not."""

from argparse import Namespace

import pytest
import torch
from builders import SMALL, build, family_of, run, translation_task
from fairseq import checkpoint_utils
from omegaconf import OmegaConf

from fairseq_plugins.checkpoints import Checkpoint, CheckpointError
from fairseq_plugins.checkpoints.overrides import check_overrides, override_attention

#: of fairseq's examples, its hub interface and its own programs, for models of the three families
LEGITIMATE = [
    {"data": "bin", "bpe": "fastbpe", "bpe_codes": "codes", "tokenizer": "moses", "source_lang": "de"},
    {"bpe": "sentencepiece", "sentencepiece_model": "m", "bpe_merges": "m", "bpe_vocab": "v"},
    {"bpe": "gpt2", "gpt2_encoder_json": "e", "gpt2_vocab_bpe": "v", "load_checkpoint_heads": True},
    {"decoder_layers_to_keep": "0,1", "encoder_layers_to_keep": None, "encoder_layerdrop": 0},
    {"eval_bleu": False, "required_seq_len_multiple": 1, "load_alignments": False, "left_pad_source": False},
    {"max_source_positions": 8196, "max_target_positions": 99, "dataset_impl": "raw", "max_positions": 9},
    {"task": "translation", "criterion": "cross_entropy", "arch": "x", "user_dir": "d", "remove_bpe": None},
    {"path": "p", "valid_subset": "valid", "batch_size": 3, "max_tokens": 5, "cpu": True, "fp16": True, "beam": 3},
    {"sample_break_mode": "none", "tokens_per_sample": 512, "add_bos_token": True, "lang_pairs": "de-en"},
    {"scoring": "sacrebleu", "optimizer": "adam", "adam_betas": "(0.9, 0.98)", "label_smoothing": 0.1, "lr": [1]},
    {"fast_inference": True, "attention_kernel": "relu", "neural_qkv_expansion": 2.0, "output_bias": False},
]
MISSPELT = {
    "attention_mixng": "attention_mixing",
    "attention-mixing": "attention_mixing",
    "attention_kernal": "attention_kernel",
    "fast-inference": "fast_inference",
    "neural_qkv_expansionn": "neural_qkv_expansion",
}


def state(arch, hydra):
    model = {"_name": arch, "arch": arch, **SMALL[family_of(arch)]}
    cfg = OmegaConf.create({"model": model if hydra else {}, "common": {"cpu": True}}, flags={"allow_objects": True})
    if not hydra:
        cfg.model = Namespace(**model)
    OmegaConf.set_struct(cfg, True)
    return {"cfg": cfg, "model": {"weight": torch.zeros(1)}}


@pytest.mark.parametrize("hydra", [False, True])
@pytest.mark.parametrize("arch", ["transformer_pairwise_tiny", "roberta", "transformer_lm_baseline_tiny"])
def test_what_fairseq_takes_is_accepted(arch, hydra):
    """All of it at once: a name that is refused is in the error."""
    overrides = {name: value for together in LEGITIMATE for name, value in together.items()}
    check_overrides(Checkpoint("x.pt", state(arch, hydra)), overrides)


# every name for a model of ours, and one or another for each model of others
@pytest.mark.parametrize(
    ("arch", "name", "nearest"),
    [
        *(("transformer_pairwise_tiny", *names) for names in MISSPELT.items()),
        *((("transformer_tiny", "lstm")[i % 2], *names) for i, names in enumerate(MISSPELT.items())),
    ],
)
def test_misspelt_names_are_refused_by_the_nearest(arch, name, nearest):
    config = {"_name": arch}
    given = {"cfg": {"model": config}} if arch == "lstm" else state(arch, False)
    with pytest.raises(CheckpointError, match=rf"x\.pt: no option has the name '{name}'.*: did you mean {nearest}\?"):
        check_overrides(Checkpoint("x.pt", given), {"data": "d", name: "top-r"})


def test_of_ours_every_unknown_name_is_refused_and_of_others_none_that_may_be_theirs():
    for name, hint in (("zzz", "$"), ("decoder_layerdropp", ": did you mean decoder_layerdrop\\?")):
        with pytest.raises(CheckpointError, match=f"'{name}' that is to be overridden{hint}"):
            check_overrides(Checkpoint("x.pt", state("transformer_lm_pairwise", True)), {name: 3})
        check_overrides(Checkpoint("x.pt", state("transformer_lm", True)), {name: 3})
    check_overrides(Checkpoint("x.pt", state("transformer", False)), {"load_knn_datastore": True, "k": 8})


def test_sections_as_a_whole():
    """hydra's configurations have them; a namespace has none, and a stock model's would lose an option of ours."""
    options = {"model": {"attention_kernel": "relu"}}
    check_overrides(Checkpoint("x.pt", state("roberta_pairwise", True)), options)
    for arch, hydra in (("roberta_pairwise", False), ("roberta", True), ("roberta", False)):
        with pytest.raises(CheckpointError, match="'model' cannot be overridden as a whole: give 'attention_kernel'"):
            check_overrides(Checkpoint("x.pt", state(arch, hydra)), options)
    with pytest.raises(CheckpointError, match="did you mean attention_kernel"):
        check_overrides(Checkpoint("x.pt", state("roberta_pairwise", True)), {"model": {"attention_kernell": 3}})
    check_overrides(Checkpoint("x.pt", state("roberta", False)), {"model": {"dropout": 0.1}, "generation": {"beam": 3}})


@pytest.mark.parametrize("arch", ["transformer_pairwise_tiny", "transformer_tiny"])
def test_every_option_of_this_plugins_reaches_the_model(arch):
    """Those that are none of attention's too, in configurations that never named them."""
    given = state(arch, True)
    override_attention(Checkpoint("x.pt", given), {"fast_inference": True, "no_scale_embedding": True, "beam": 3})
    assert given["cfg"].model.fast_inference is True
    assert given["cfg"].model._name == arch.replace("transformer_tiny", "transformer_baseline_tiny")
    assert ("no_scale_embedding" in given["cfg"].model) == ("pairwise" in arch)
    assert "beam" not in given["cfg"].model


def test_what_another_model_calls_alike_is_its_own():
    given = {"cfg": {"model": {"_name": "lstm"}}, "model": {"weight": torch.zeros(1)}}
    override_attention(Checkpoint("x.pt", given), {"output_bias": True})
    assert given["cfg"]["model"] == {"_name": "lstm"}


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["transformer_baseline_tiny", "transformer_tiny"])
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"attention_projection": "neural"}, "attention_projection='neural'"),
        ({"encoder_embed_dim": 32, "data": "d"}, r"encoder_embed_dim=32 \(trained: 24\)"),
        ({"decoder_layers": 3}, r"decoder_layers=3 \(trained: 2\)"),
    ],
)
def test_what_a_trained_model_cannot_take_is_named(arch, overrides, message, tmp_path):
    task = translation_task()
    model = build(arch, task)
    options = Namespace(**SMALL["transformer"], arch=arch, _name=arch)
    state = {"model": model.state_dict(), "args": None, "cfg": {"model": options, "common": {}}, "extra_state": {}}
    history = [{"optimizer_name": "Adam", "lr_scheduler_state": {}, "num_updates": 1}]
    torch.save({**state, "optimizer_history": history}, tmp_path / "x.pt")
    with pytest.raises(RuntimeError, match=rf"x\.pt: its weights are not those of a model with {message}; an override"):
        checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "x.pt")], overrides, task)
    (again,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "x.pt")], {"dropout": 0.3}, task)
    assert torch.equal(run(again.eval())[0], run(model.eval())[0])
