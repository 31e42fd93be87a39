"""fairseq's own commands, typed as in its documentation: train, generate, resume, hydra, several processes."""

import os
import re

import pytest
import torch
from running import SIZES, fairseq, forked, sparse

from fairseq_plugins import cli
from fairseq_plugins.checkpoints.safe_load import load_checkpoint

TRAINING = [
    *("--optimizer", "adam", "--lr", "0.01", "--max-tokens", "300", "--cpu", "--num-workers", "0", "--seed", "3"),
    *("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1", "--log-format", "simple"),
]

#: batches are made by the process that takes them, without which one more begins each time
IN_PLACE = ("--num-workers", "0")


def hypotheses(output):
    """id -> (score, text) of fairseq-generate's H lines."""
    lines = re.findall(r"^H-(\d+)\t(\S+)\t(.*)$", output, flags=re.M)
    return {int(i): (float(score), text) for i, score, text in lines}


def generate(data, checkpoint, plugin):
    output = forked("generate", data, "--user-dir", plugin, "--path", checkpoint, "--beam", "3", "--cpu", *IN_PLACE)
    found = hypotheses(output)
    assert len(found) == 20
    return found


# one with an option of its own, one whose sizes are counted when it is built; tests of models prove what others compute
@pytest.mark.parametrize("arch", ["transformer_valueaware_tiny", "transformer_matched_tiny"])
def test_train_and_generate_from_any_folder(bin_dir, plugin, tmp_path, arch):
    """A relative --user-dir, from another folder; what generate prints is the trained model's own translation."""
    (tmp_path / "elsewhere").mkdir()
    relative = os.path.relpath(plugin, tmp_path / "elsewhere")
    save = tmp_path / "checkpoints"
    fairseq(
        *("train", bin_dir, "--user-dir", relative, "--arch", arch, "--save-dir", save, "--max-update", "12"),
        *(*SIZES, *TRAINING, *sparse(arch)),
        cwd=tmp_path / "elsewhere",
    )
    output = fairseq(
        *(
            "generate",
            bin_dir,
            "--user-dir",
            relative,
            "--path",
            save / "checkpoint_last.pt",
            "--beam",
            "3",
            "--cpu",
        ),
        cwd=tmp_path / "elsewhere",
    )
    assert len(hypotheses(output)) == 20
    assert hypotheses(output) == generate(bin_dir, save / "checkpoint_last.pt", plugin)
    state = load_checkpoint(save / "checkpoint_last.pt")
    assert state["cfg"]["model"]._name == arch


@pytest.fixture(scope="session")
def stock_checkpoint(bin_dir, tmp_path_factory):
    """Trained by stock fairseq, without the plugin: duplicates of the fused encoder path and all."""
    save = tmp_path_factory.mktemp("stock")
    fairseq(
        *("train", bin_dir, "--arch", "transformer_tiny", "--save-dir", save, "--max-update", "30"),
        *(*SIZES, *TRAINING, "--disable-validation"),
    )
    assert "encoder.layers.0.in_proj_weight" in load_checkpoint(save / "checkpoint_last.pt")["model"]
    return save / "checkpoint_last.pt"


def validation_loss(output):
    return float(re.findall(r"\bloss ([\d.]+)", output)[-1])


def test_stock_checkpoint_in_baseline_and_back(bin_dir, plugin, stock_checkpoint, tmp_path):
    """The same weights in stock and baseline: the same loss, and by fairseq-generate the same hypotheses and scores."""
    ours, back = tmp_path / "baseline.pt", tmp_path / "stock.pt"
    assert cli.main(["convert-checkpoint", str(stock_checkpoint), str(ours), "--to", "baseline"]) == 0
    assert cli.main(["convert-checkpoint", str(ours), str(back), "--to", "stock"]) == 0
    expected = generate(bin_dir, stock_checkpoint, plugin)
    assert len({text for _, text in expected.values()}) > 1, "the stock model says the same of everything"
    losses = []
    for checkpoint in (ours, back):
        found = generate(bin_dir, checkpoint, plugin)
        assert {i: text for i, (_, text) in found.items()} == {i: text for i, (_, text) in expected.items()}
        for i, (score, _) in expected.items():
            assert found[i][0] == pytest.approx(score, abs=2e-4)
    for checkpoint in (stock_checkpoint, ours):
        output = forked(
            *(
                "validate",
                bin_dir,
                "--task",
                "translation",
                "--user-dir",
                plugin,
                "--path",
                checkpoint,
                "--cpu",
                "--valid-subset",
                "valid",
            ),
            *("--max-tokens", "300", "--log-format", "simple", *IN_PLACE),
        )
        losses.append(validation_loss(output))
    assert losses[0] == losses[1]


def test_our_checkpoint_trains_on_in_stock_fairseq(bin_dir, plugin, tmp_path):
    """Without the plugin: stock fairseq takes the weights of a baseline checkpoint."""
    fairseq(
        *(
            "train",
            bin_dir,
            "--user-dir",
            plugin,
            "--arch",
            "transformer_baseline_tiny",
            "--save-dir",
            tmp_path / "a",
        ),
        *("--max-update", "3", *SIZES, *TRAINING, "--disable-validation"),
    )
    output = fairseq(
        *("train", bin_dir, "--arch", "transformer_tiny", "--save-dir", tmp_path / "b", "--max-update", "6"),
        *("--finetune-from-model", tmp_path / "a" / "checkpoint_last.pt", *SIZES, *TRAINING, "--disable-validation"),
        check=False,
    )
    if "weights_only" in output or "WeightsUnpickler" in output:  # stock cannot read any checkpoint on torch >= 2.6
        output = fairseq(
            *("train", bin_dir, "--user-dir", plugin, "--arch", "transformer_tiny", "--save-dir", tmp_path / "b"),
            *("--max-update", "6", "--finetune-from-model", tmp_path / "a" / "checkpoint_last.pt"),
            *(*SIZES, *TRAINING, "--disable-validation"),
        )
    trained = load_checkpoint(tmp_path / "b" / "checkpoint_last.pt")
    assert trained["optimizer_history"][-1]["num_updates"] == 6
    assert "Loaded checkpoint" in output or "loaded checkpoint" in output


def test_hydra(bin_dir, plugin, root, tmp_path):
    """fairseq-hydra-train with the shipped configuration, smaller by overrides, an option of ours among them."""
    fairseq(
        *("hydra-train", "--config-dir", root / "examples" / "neural_qkv" / "hydra", "--config-name", "iwslt17_de_en"),
        *(f"common.user_dir={plugin}", f"task.data={bin_dir}", f"checkpoint.save_dir={tmp_path / 'checkpoints'}"),
        *("common.cpu=true", "dataset.max_tokens=300", "dataset.num_workers=0", "optimization.max_update=4"),
        *("model._name=transformer_neuralqkv_tiny", "+model.encoder_layers=1", "+model.decoder_layers=1"),
        *("+model.attention_projection='encoder=neural'", "+model.neural_qkv_expansion=3"),
        cwd=tmp_path,
    )
    state = load_checkpoint(tmp_path / "checkpoints" / "checkpoint_last.pt")["model"]
    assert state["encoder.layers.0.self_attn.q_proj.0.weight"].shape == (192, 64)
    assert state["decoder.layers.0.encoder_attn.q_proj.weight"].shape == (64, 64)
    assert "encoder.layers.1.fc1.weight" not in state
    generate(bin_dir, tmp_path / "checkpoints" / "checkpoint_last.pt", plugin)


def final_parameters(save):
    return load_checkpoint(save / "checkpoint_last.pt")["model"]


# a checkpoint knows a variant by its parameters alone: a map under three names, networks; see the other families, too
@pytest.mark.parametrize("variant", ["sharedqkv", "neuralqkv"])
def test_resume_is_bit_identical(bin_dir, plugin, tmp_path, variant):
    """One process: 2N updates = N, stop, resume N, dropout on."""
    arch = f"transformer_{variant}_tiny"
    common = [
        *(
            bin_dir,
            "--user-dir",
            plugin,
            "--arch",
            arch,
            "--dropout",
            "0.1",
            *SIZES,
            *TRAINING,
            "--disable-validation",
        ),
    ]
    forked("train", *common, "--save-dir", tmp_path / "a", "--max-update", "14")
    forked("train", *common, "--save-dir", tmp_path / "b", "--max-update", "7")
    forked("train", *common, "--save-dir", tmp_path / "b", "--max-update", "14")
    straight, resumed = final_parameters(tmp_path / "a"), final_parameters(tmp_path / "b")
    assert straight.keys() == resumed.keys()
    for name, value in straight.items():
        if "_float_tensor" not in name:  # an uninitialised buffer that only carries a device
            assert torch.equal(value, resumed[name]), name
