"""Every exporter runs its result beside the original: equal outputs or a refusal, whatever the options are."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from builders import VOCABULARY, build, family_of, masked_lm_task, run, save, translation_task

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import Checkpoint, building, convert, probe
from fairseq_plugins.transfer import fold


def command(name, source, target, *more, status=0):
    assert cli.main([name, *map(str, (source, target, *more))]) == status


def loaded(path):
    return building.load(Checkpoint.read(path))


def differs(capsys, source, line):
    """The one sentence of a refusal by the probe; nothing is new in the source's folder."""
    before = sorted(source.parent.iterdir())
    capsys.readouterr()
    command(*line, status=1)
    said = capsys.readouterr().err
    assert f"{source}: " in said
    assert "would not compute the same: on a probe the lo" in said
    assert "so nothing was written" in said
    assert said.count("\n") == 1
    assert sorted(source.parent.iterdir()) == before
    return said


# ------------------------------------------------------------------ options that a converter may not know

ADAPTIVE = {"adaptive_softmax_cutoff": "10,20", "adaptive_softmax_factor": 2.0, "adaptive_softmax_dropout": 0.0}
EVERYWHERE = {"attention_compatibility": "pairwise"}
FOLDED = {
    "normed embeddings": ("transformer_pairwise_tiny", {"layernorm_embedding": True, "no_scale_embedding": True}),
    "no positions": ("transformer_pairwise_tiny", {"no_token_positional_embeddings": True}),
    "pre-norm": ("transformer_pairwise_tiny", {"encoder_normalize_before": True, "decoder_normalize_before": True}),
    "adaptive softmax": ("transformer_pairwise_tiny", {**ADAPTIVE, **EVERYWHERE}),
    "another width": ("transformer_pairwise_tiny", {"decoder_output_dim": 12, **EVERYWHERE}),
    "keys of both sides": (
        "transformer_pairwise_tiny",
        {"cross_self_attention": True, "no_cross_attention": True, "decoder_embed_dim": 24},
    ),
    "quantisation noise": ("transformer_pairwise_tiny", {"quant_noise_pq": 0.1, "quant_noise_pq_block_size": 4}),
    "dropped layers": ("transformer_symmetric_tiny", {"encoder_layerdrop": 0.3, "decoder_layerdrop": 0.3}),
    "tied tables": ("transformer_symmetric_tiny", {"share_decoder_input_output_embed": True, "activation_fn": "gelu"}),
    "roberta": (
        "roberta_symmetric_tiny",
        {"untie_weights_roberta": True, "layernorm_embedding": False, "encoder_normalize_before": True},
    ),
    "noisy roberta": ("roberta_pairwise_tiny", {"quant_noise_pq": 0.1, "quant_noise_pq_block_size": 4}),
    "language model": ("transformer_lm_pairwise", {**ADAPTIVE, "decoder_normalize_before": True}),
    "adaptive input": (
        "transformer_lm_symmetric",
        {
            **ADAPTIVE,
            "adaptive_input": True,
            "adaptive_input_cutoff": "10,20",
            "adaptive_input_factor": 2.0,
            "tie_adaptive_weights": True,
        },
    ),
    "characters": (
        "transformer_lm_pairwise",
        {
            "character_embeddings": True,
            "character_filters": "[(1, 8), (2, 8)]",
            "character_embedding_dim": 4,
            "char_embedder_highway_layers": 1,
        },
    ),
}


@pytest.mark.parametrize("case", FOLDED)
def test_folding_keeps_the_outputs_under_every_option(case, tmp_path):
    arch, options = FOLDED[case]
    save(tmp_path / "model.pt", arch, **options)
    command("fold-checkpoint", tmp_path / "model.pt", tmp_path / "stock.pt")
    ours, stock = loaded(tmp_path / "model.pt"), loaded(tmp_path / "stock.pt")
    assert not type(stock).__module__.startswith("fairseq_plugins")
    with torch.no_grad():
        expected, text = run(ours)
        torch.testing.assert_close(run(stock)[0][text], expected[text], atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "variant", "more"), [
    ("fold", "pairwise", []),
    ("convert", "baseline", ["--to", "stock"]),
])  # fmt: skip
def test_a_stock_architecture_that_overwrites_an_option_is_found(name, variant, more, tmp_path, capsys):
    """fairseq's language models of a named size are pre-norm whatever their checkpoint says; no parameter shows it."""
    source = tmp_path / "model.pt"
    save(source, f"transformer_lm_{variant}_gpt", decoder_normalize_before=False, no_decoder_final_norm=True)
    assert "the logits differ by" in differs(capsys, source, (f"{name}-checkpoint", source, tmp_path / "out.pt", *more))


def test_eight_bit_models_are_not_what_their_weights_say(tmp_path, capsys):
    """fairseq computes with rounded weights wherever it runs such a model."""
    save(tmp_path / "model.pt", "transformer_pairwise_tiny", quant_noise_scalar=0.1)
    command("fold-checkpoint", tmp_path / "model.pt", tmp_path / "out.pt", status=1)
    assert "trained with --quant-noise-scalar" in capsys.readouterr().err


NOISE = {"quant_noise_pq": 0.1, "quant_noise_pq_block_size": 4}
UNKNOWN = {
    "roberta_pairwise_tiny": {
        "no place for the parameter encoder.sentence_encoder.quant_noise.weight": NOISE,
        "trained with --spectral-norm-classification-head": {"spectral_norm_classification_head": True},
    },
    "transformer_pairwise_tiny": {
        "no place for the parameter encoder.quant_noise.weight": NOISE,
        "trained with --cross-self-attention": {"cross_self_attention": True, "no_cross_attention": True},
        "trained with --quant-noise-scalar": {"quant_noise_scalar": 0.1},
    },
}


@pytest.mark.parametrize(("arch", "sentence"), [(arch, sentence) for arch in UNKNOWN for sentence in UNKNOWN[arch]])
def test_what_the_other_side_does_not_have_is_refused(arch, sentence, tmp_path, capsys):
    options = UNKNOWN[arch][sentence]
    if family_of(arch) == "transformer":
        options = {**options, "decoder_embed_dim": 24}
    save(tmp_path / "model.pt", arch, **options)
    command(*EXPORTS[family_of(arch)](tmp_path), status=1)
    said = capsys.readouterr().err
    assert f"{tmp_path}/model.pt" in said
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ damaged converters


def to_huggingface(folder):
    pytest.importorskip("safetensors")
    return "export-huggingface", folder / "model.pt", folder / "out"


def to_ctranslate2(folder):
    pytest.importorskip("ctranslate2")
    translation_task().source_dictionary.save(str(folder / "model.txt"))
    return "export-ctranslate2", folder / "model.pt", folder / "out", "--dict", folder / "model.txt"


EXPORTS = {"roberta": to_huggingface, "transformer": to_ctranslate2}


def swapped(names, one, other):
    return {**names, one: names[other], other: names[one]}


def test_mistaken_names_and_numbers_of_huggingface(tmp_path, capsys, monkeypatch):
    pytest.importorskip("transformers")
    from fairseq_plugins.transfer.huggingface import roberta_config, roberta_names

    source = tmp_path / "model.pt"
    save(source, "roberta_pairwise_tiny", masked_lm_task(), heads={"task": 1})
    line = to_huggingface(tmp_path)
    mistaken = swapped(roberta_names.LAYER, "self_attn.q_proj", "self_attn.v_proj")
    with monkeypatch.context() as damage:
        damage.setattr(roberta_names, "LAYER", mistaken)
        assert "the logits of the head task differ by up to" in differs(capsys, source, line)
        differs(capsys, source, (*line, "--masked-lm"))
    with monkeypatch.context() as damage:
        damage.setitem(roberta_config.REQUIRED, "layer_norm_eps", 1e-4)
        differs(capsys, source, line)
    command(*line)
    monkeypatch.setattr(roberta_names, "LAYER", mistaken)
    differs(capsys, tmp_path / "out", ("import-huggingface", tmp_path / "out", tmp_path / "new" / "model.pt"))


def test_a_mistaken_activation_of_marian(tmp_path, capsys, monkeypatch):
    pytest.importorskip("transformers")
    from marian_folders import marian

    from fairseq_plugins.transfer.huggingface import marian_config

    marian(tmp_path / "in")
    monkeypatch.setitem(marian_config.ACTIVATIONS, "swish", "gelu")
    differs(capsys, tmp_path / "in", ("import-huggingface", tmp_path / "in", tmp_path / "new" / "model.pt"))


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_mistaken_number_of_ctranslate2(quantization, tmp_path, capsys, monkeypatch):
    line = to_ctranslate2(tmp_path)
    from fairseq_plugins.transfer.ctranslate2 import spec

    save(tmp_path / "model.pt", "transformer_pairwise_tiny", decoder_embed_dim=24)
    monkeypatch.setattr(spec, "LAYER_NORM_EPSILON", 1e-4)
    said = differs(capsys, tmp_path / "model.pt", (*line, "--quantization", quantization))
    assert "CTranslate2's model of float32 weights" in said


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_mistaken_fold(dtype, tmp_path, capsys, monkeypatch):
    source = tmp_path / "model.pt"
    save(source, "transformer_pairwise_tiny", dtype=dtype)
    monkeypatch.setattr(fold, "fold_queries", lambda shared, factors: shared)
    differs(capsys, source, ("fold-checkpoint", source, tmp_path / "out.pt"))


@pytest.mark.parametrize("to", ["stock", "baseline"])
def test_a_mistaken_conversion(to, tmp_path, capsys, monkeypatch):
    source, faithful = tmp_path / "model.pt", convert.convert
    save(source, "transformer_lm_baseline" if to == "stock" else "transformer_lm")

    def mistaken(checkpoint, to):
        notes = faithful(checkpoint, to)
        checkpoint.set_options(activation_fn="gelu")
        return notes

    line = ("convert-checkpoint", source, tmp_path / "out.pt", "--to", to)
    with monkeypatch.context() as damage:
        damage.setattr(convert, "convert", mistaken)
        differs(capsys, source, line)
    command(*line)


# ------------------------------------------------------------------ the probe itself


@pytest.mark.parametrize("case", ["transformer", "roberta", "transformer_lm"])
def test_sentences_are_of_odd_lengths_padded_where_the_family_pads(case):
    made = probe.probe_of(build(case))
    text = {name: tokens.ne(probe.PAD) for name, tokens in made.inputs.items() if name != "src_lengths"}
    for name, words in text.items():
        lengths = words.sum(1).tolist()
        assert len(set(lengths)) > 3
        assert sum(length % 2 for length in lengths) >= 3
        assert words[:, -1 if case == "transformer" and name == "src_tokens" else 0].all()
        assert made.inputs[name].max() == VOCABULARY - 1
    assert torch.equal(made.text, text.get("prev_output_tokens", text["src_tokens"]))


def test_a_model_that_magnifies_rounding_is_no_false_alarm(tmp_path):
    """Large random weights: scores of hundreds, outputs with few exact digits in any arithmetic."""
    save(tmp_path / "model.pt", "transformer_pairwise_tiny", noise=2.0, encoder_layers=6, dtype=torch.float16)
    command("fold-checkpoint", tmp_path / "model.pt", tmp_path / "stock.pt")


def test_outputs_that_are_no_numbers_are_said(tmp_path, capsys):
    save(tmp_path / "model.pt", "roberta_pairwise_tiny", noise=float("nan"))
    command("fold-checkpoint", tmp_path / "model.pt", tmp_path / "out.pt", status=1)
    assert "its logits on a probe are not finite" in capsys.readouterr().err
