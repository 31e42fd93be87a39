"""average-checkpoints: the mean, what one model is, and that nothing is half-written."""

import builders
import numpy as np
import pytest
import torch
from builders import masked_lm_task
from hostile import Hostile

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import safe_load
from fairseq_plugins.checkpoints.average import last_checkpoints


def save(path, arch="transformer_baseline_tiny", task=None, seed=1, **options):
    """Its path."""
    torch.manual_seed(seed)
    builders.save(path, arch, task, **options)
    return path


def average(*paths, out, status=0):
    assert cli.main(["average-checkpoints", *map(str, paths), "--output", str(out)]) == status


def refused(capsys, *paths):
    """The one line that the command ends with; nothing is written."""
    out = paths[0].parent / "out" / "average.pt"
    average(*paths, out=out, status=1)
    said = capsys.readouterr().err
    assert said.startswith("average-checkpoints: error: ")
    assert said.count("\n") == 1
    assert not out.parent.exists()
    return said


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_mean_is_numpys_in_float64(dtype, tmp_path):
    names = [f"checkpoint{number}.pt" for number in (9, 10, 11)]
    for number, name in enumerate(names):
        save(tmp_path / name, seed=number, dtype=dtype, share_all_embeddings=True, decoder_embed_dim=24)
    save(tmp_path / "checkpoint2.pt", seed=7, dtype=dtype)
    assert last_checkpoints(str(tmp_path), 3) == [str(tmp_path / name) for name in names]
    assert cli.main(["average-checkpoints", str(tmp_path), "--last", "3", "--output", str(tmp_path / "mean.pt")]) == 0
    states = [safe_load.load_checkpoint(tmp_path / name) for name in names]
    mean = safe_load.load_checkpoint(tmp_path / "mean.pt")
    assert list(mean["model"]) == list(states[-1]["model"])
    for name, value in mean["model"].items():
        if name.endswith("_float_tensor"):  # memory that nobody initialised
            continue
        summed = np.mean([state["model"][name].double().numpy() for state in states], axis=0)
        expected = summed.astype(value.numpy().dtype)
        np.testing.assert_array_equal(value.numpy(), expected, err_msg=name)
    assert mean["last_optimizer_state"] is None
    assert states[0]["last_optimizer_state"] is not None
    # a table that is three things is in the file once
    assert abs((tmp_path / "mean.pt").stat().st_size - (tmp_path / names[0]).stat().st_size) < 1000


def test_half_sums_do_not_overflow_and_integers_are_the_last_ones(tmp_path):
    for number in (1, 2):
        path = save(tmp_path / f"{number}.pt", dtype=torch.float16)
        state = safe_load.load_checkpoint(path)
        state["model"]["encoder.layer_norm_of_mine"] = torch.tensor([60000.0], dtype=torch.float16)
        state["model"]["count"] = torch.tensor([number])
        torch.save(state, path)
    average(tmp_path / "1.pt", tmp_path / "2.pt", out=tmp_path / "mean.pt")
    model = safe_load.load_checkpoint(tmp_path / "mean.pt")["model"]
    assert (model["encoder.layer_norm_of_mine"].item(), model["count"].item()) == (60000.0, 2)


OURS = "transformer_baseline_tiny"
UNEQUAL = {
    "a stock model": ("transformer_tiny", {}, ["architecture transformer_baseline_tiny / transformer_tiny"]),
    "attention and more": (
        OURS,
        {"attention_kernel": "cross=elu1", "activation_fn": "gelu", "no_scale_embedding": True},
        ["--attention-kernel at cross exp / elu1", "--activation-fn relu / gelu", "--no-scale-embedding off / True"],
    ),
    "an option of a choice": (
        OURS,
        {"attention_mixing": "decoder=top-r", "attention_r": "3"},
        ["--attention-mixing at decoder dense / top-r", "--attention-r at decoder none / 3"],
    ),
    "positions": (OURS, {"no_token_positional_embeddings": True}, ["--no-token-positional-embeddings off / True"]),
    "sizes": (
        OURS,
        {"encoder_layers": 1, "encoder_ffn_embed_dim": 12},
        ["--encoder-layers 2 / 1", "fc1.weight 20x24 / 12x24", "; and of "],
    ),
    "shared tables": (
        OURS,
        {"share_decoder_input_output_embed": True},
        [
            "--share-decoder-input-output-embed off / True",
            "decoder.embed_tokens.weight shared with decoder.output_projection.weight no / yes",
        ],
    ),
}


@pytest.mark.parametrize("case", UNEQUAL)
def test_other_models_are_refused_with_every_difference(case, tmp_path, capsys):
    arch, options, sentences = UNEQUAL[case]
    said = refused(capsys, save(tmp_path / "a.pt"), save(tmp_path / "b.pt", arch, **options))
    assert f"{tmp_path}/a.pt and {tmp_path}/b.pt are not of one model: " in said
    for sentence in sentences:
        assert sentence in said
    if case == "attention and more":
        assert said.count(" / ") == 3


def test_dictionaries_of_other_sizes_are_said(tmp_path, capsys):
    paths = [save(tmp_path / f"{n}.pt", "roberta_baseline_tiny", masked_lm_task(n)) for n in (37, 41)]
    assert "symbols of the source dictionary 37 / 41" in refused(capsys, *paths)


def test_what_no_output_depends_on_may_differ(tmp_path):
    """Dropout and speed, an option of a choice that is not taken, and another way to say the same."""
    one = save(tmp_path / "a.pt", "roberta_baseline_tiny", attention_kernel="elu1", dropout=0.1)
    other = {"attention_kernel": "encoder=elu1", "attention_r": "5", "fast_dropout": True, "max_positions": 32}
    two = save(tmp_path / "b.pt", "roberta_baseline_tiny", dropout=0.3, attention_dropout=0.2, seed=2, **other)
    average(one, two, out=tmp_path / "mean.pt")


def test_files_that_say_too_little_or_too_much(tmp_path, capsys):
    good = save(tmp_path / "good.pt")
    torch.save({"model": {"w": torch.ones(2)}}, tmp_path / "bare.pt")
    torch.save({"model": {"w": torch.ones(2)}, "args": Hostile()}, tmp_path / "hostile.pt")
    (tmp_path / "cut.pt").write_bytes(good.read_bytes()[:5000])
    state = safe_load.load_checkpoint(good)
    state["cfg"]["model"].attention_kernel = "exq"
    torch.save(state, tmp_path / "odd.pt")
    for name, sentence in (
        ("bare.pt", "no fairseq checkpoint that names its architecture"),
        ("hostile.pt", "system, which is not part of a fairseq checkpoint"),
        ("cut.pt", "truncated or damaged"),
        ("missing.pt", "cannot be read"),
        ("odd.pt", "unknown choice 'exq'"),
    ):
        for paths in ((tmp_path / name, good), (good, tmp_path / name)):
            said = refused(capsys, *paths)
            assert sentence in said
            assert name in said
    with pytest.raises(ValueError, match="holds 0 checkpoints"):
        last_checkpoints(str(tmp_path), 2)


def test_a_full_disk_leaves_what_was_there(tmp_path, capsys, monkeypatch):
    good = save(tmp_path / "good.pt")
    (tmp_path / "mean.pt").write_text("precious")

    def full(state, stream):
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    average(good, out=tmp_path / "mean.pt", status=1)
    assert "no room for" in capsys.readouterr().err
    assert (tmp_path / "mean.pt").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.pt", "mean.pt"]
