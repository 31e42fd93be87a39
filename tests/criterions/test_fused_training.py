"""Trainings by fairseq's own command with the fused criteria and optimizer, beside the same ones with fairseq's."""

import re

import pytest
import torch
from fairseq.checkpoint_utils import load_checkpoint_to_cpu
from fairseq.tasks import FairseqTask
from running import forked
from tiny_training import AT_THE_END, SMALL, train

SMOOTHED = "label_smoothed_cross_entropy"
#: family -> the data, model and criterion of a tiny training
FAMILIES = {
    "transformer": f"bin --arch transformer_neuralqkv_tiny {SMALL} --criterion {SMOOTHED} --label-smoothing 0.1",
    "transformer_lm": "mono --task language_modeling --arch transformer_lm_symmetric_tiny --decoder-layers 1 "
    "--decoder-embed-dim 16 --decoder-ffn-embed-dim 16 --decoder-attention-heads 2 --tokens-per-sample 32 "
    "--criterion cross_entropy",
    "roberta": "mono --task masked_lm --arch roberta_pairwise_tiny --encoder-layers 1 --encoder-embed-dim 16 "
    "--encoder-ffn-embed-dim 16 --encoder-attention-heads 2 --tokens-per-sample 32 --max-positions 64 "
    "--criterion cross_entropy",
}
#: a large epsilon: with a small one rounding decides the sign of the first updates
ADAM = "--optimizer adam --adam-eps 1e-2 --weight-decay 0.01 --clip-norm 0.5 --adam-betas (0.9,0.98)"


def fused(options):
    """The same training with our criterion and optimizer."""
    return options.replace("--criterion ", "--criterion fused_").replace("--optimizer adam", "--optimizer fused_adam")


def collect_losses(monkeypatch):
    """The loss of every batch of a training in this process."""
    found, original = [], FairseqTask.train_step

    def train_step(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        found.append(float(result[0]))
        return result

    monkeypatch.setattr(FairseqTask, "train_step", train_step)
    return found


@pytest.fixture
def losses(monkeypatch):
    return collect_losses(monkeypatch)


def model_of(path):
    state = load_checkpoint_to_cpu(str(path))["model"]
    return {name: value for name, value in state.items() if "_float_tensor" not in name}


def assert_near(path, other):
    ours, theirs = model_of(path), model_of(other)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    """The training of a translation model with fairseq's own: its checkpoint and its losses."""
    with pytest.MonkeyPatch.context() as patch:
        found = collect_losses(patch)
        path = train(corpus, tmp_path_factory.mktemp("plain"), f"{FAMILIES['transformer']} {ADAM} {AT_THE_END}", 6)
    return path, found


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("transformer", "--update-freq 2 --sentence-avg"),
        ("transformer", "--amp"),
        ("transformer_lm", ""),
        ("roberta", ""),
    ],
)
def test_training_equals_fairseqs(corpus, tmp_path, losses, family, more):
    options = f"{FAMILIES[family]} {ADAM} {more} {AT_THE_END}"
    stock = train(corpus, tmp_path / "stock", options, updates=6)
    expected, losses[:] = losses[:], []
    ours = train(corpus, tmp_path / "fused", fused(options), updates=6)
    assert len(losses) == len(expected) >= 6
    assert losses == pytest.approx(expected, rel=1e-5)
    assert_near(ours, stock)


def test_a_training_continues_with_the_other_names(corpus, tmp_path, losses, plain):
    """Equal to fairseq's own; neither name needs --reset-optimizer, from fairseq's to ours or back."""
    options, (straight, expected) = f"{FAMILIES['transformer']} {ADAM} {AT_THE_END}", plain
    assert len(expected) >= 6
    ways = (("there", options, fused(options)), ("back", fused(options), options), ("ours", fused(options), None))
    for name, there, on in ways:
        losses.clear()
        changed = train(corpus, tmp_path / name, there, updates=3 if on else 6)
        if on:
            changed = train(corpus, tmp_path / name, on, updates=6)
        assert losses == pytest.approx(expected, rel=1e-5)
        assert_near(changed, straight)


def test_resume_is_bit_identical(corpus, tmp_path):
    """With all that the criterion and the training do beside the plain loss."""
    more = f"--dropout 0.1 --autocast-bf16 --loss-chunk-size 7 --report-accuracy {AT_THE_END}"
    options = fused(f"{FAMILIES['transformer']} {ADAM} {more}")
    straight = model_of(train(corpus, tmp_path / "straight", options, updates=6))
    train(corpus, tmp_path / "resumed", options, updates=3)
    resumed = model_of(train(corpus, tmp_path / "resumed", options, updates=6))
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name


def test_autocast_trains_as_well(corpus, tmp_path, losses):
    options = fused(f"{FAMILIES['transformer']} --optimizer adam --clip-norm 1.0 {AT_THE_END}")
    train(corpus, tmp_path / "full", options, updates=18)
    full, losses[:] = losses[:], []
    train(corpus, tmp_path / "half", f"{options} --autocast-bf16", updates=18)
    assert losses != full
    assert sum(losses[-10:]) == pytest.approx(sum(full[-10:]), rel=0.05)
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_generation_needs_no_new_option(corpus, plugin, tmp_path):
    """A checkpoint names its criterion; the commands that read it find it."""
    checkpoint = train(corpus, tmp_path / "run", fused(f"{FAMILIES['transformer']} {ADAM}"))
    given = [corpus / "bin", "--user-dir", plugin, "--path", checkpoint, "--cpu", "--num-workers", 0]
    text = forked("generate", *given, "--gen-subset", "valid")
    assert len(re.findall(r"^H-\d+", text, re.M)) == 30
    assert "nll_loss" in forked("validate", *given, "--task", "translation", "--max-tokens", "200")
