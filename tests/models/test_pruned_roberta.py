"""RoBERTa's head and feed-forward pruning: stock's losses, choice, outputs and checkpoints on the baseline."""

import copy
import re
from argparse import Namespace

import pytest
import torch
from builders import CASES, ROBERTA_VARIANTS, batch, build, masked_lm_task
from fairseq.criterions.sentence_prediction import SentencePredictionConfig, SentencePredictionCriterion
from running import forked

from fairseq_plugins.attention.config import DEFAULTS
from fairseq_plugins.attention.stages import PROJECTION
from fairseq_plugins.checkpoints import Checkpoint, building
from fairseq_plugins.checkpoints.safe_load import load_checkpoint
from fairseq_plugins.transfer.fold import fold_checkpoint
from fairseq_plugins.transfer.huggingface.roberta_config import wrong_options

REGULARISED = {"mha_reg_scale_factor": 0.02, "ffn_reg_scale_factor": 0.03}
HEAD = "sentence_classification_head"
TASK = masked_lm_task()
PRUNABLE = [
    arch
    for arch in ROBERTA_VARIANTS
    if not PROJECTION[CASES[arch].get("attention_projection", DEFAULTS["projection"])].query_holds_input
]


def classifier(arch, **options):
    model = build(arch, TASK, **{"dropout": 0.2, "attention_dropout": 0.1, **options})
    model.register_classification_head(HEAD, num_classes=3)
    return model.double()


def pair(**options):
    """Stock RoBERTa and our baseline with its weights, none of them 0, where rounding would decide of signs."""
    stock, ours = (classifier(arch, **options) for arch in ("roberta", "roberta_baseline"))
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    ours.load_state_dict(stock.state_dict())
    return stock, ours


def losses(model, updates=4):
    """What the criterion logs in each update: the loss and both of its regularisers."""
    criterion = SentencePredictionCriterion(SentencePredictionConfig(), None)
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01, momentum=0.9)
    torch.manual_seed(3)
    found = []
    for update in range(updates):
        src, lengths, _ = batch(seed=update)
        sample = {"net_input": {"src_tokens": src}, "target": torch.tensor([0, 2, 1]), "ntokens": int(lengths.sum())}
        loss, _, logged = criterion(model, sample)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(
            [float(torch.as_tensor(logged[name]).detach()) for name in ("loss", "mha_reg_loss", "ffn_reg_loss")]
        )
    return torch.tensor(found, dtype=torch.float64)


def prune(model, heads, units):
    """As fairseq's trainer does."""
    for layer in model.encoder.sentence_encoder.layers:
        layer.self_attn._adaptive_prune_heads(layer.self_attn._get_reserve_head_index(num_heads_to_keep=heads))
        layer.self_attn._set_skip_embed_dim_check()
        layer._prune_fc_layer(remove_index=layer._get_fc_rank(remove_num=units))


@pytest.mark.parametrize("layerdrop", [0.0, 0.5])
def test_the_baseline_is_trained_and_pruned_as_stock(layerdrop):
    stock, ours = pair(**REGULARISED, encoder_layerdrop=layerdrop)
    torch.testing.assert_close(losses(ours), losses(stock), rtol=1e-9, atol=0)
    for layers in zip(*(model.eval().encoder.sentence_encoder.layers for model in (stock, ours))):
        theirs, own = (layer.self_attn._get_reserve_head_index(4) for layer in layers)
        assert own == theirs
    for model in (stock, ours):
        prune(model, 2, 7)
    assert list(ours.state_dict()) == list(stock.state_dict())
    for left, right in zip(stock.state_dict().values(), ours.state_dict().values()):
        torch.testing.assert_close(right, left, rtol=1e-7, atol=1e-9)
    ours.load_state_dict(stock.state_dict())
    src, _, _ = batch()
    # stock's pruned attention takes its softmax in float32
    torch.testing.assert_close(ours(src)[0], stock(src)[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(losses(ours), losses(stock), rtol=1e-6, atol=0)


@pytest.mark.parametrize("arch", PRUNABLE)
def test_a_pruned_checkpoint_is_loaded_wherever_it_is(arch):
    """Into a model that nobody has pruned (validation, hub), and one that the trainer has; the outputs are its own."""
    model = classifier(arch).eval()
    options = {"mha_heads_to_keep": 1, "ffn_blocks_to_remove": 5, "encoder_layerdrop": 0.9}
    loaded, of_trainer = classifier(arch, **options), classifier(arch, **options)
    full = copy.deepcopy(model.state_dict())
    prune(model, 1, 5)
    prune(of_trainer.eval(), 1, 5)
    src, _, _ = batch()
    for fresh in (loaded, of_trainer):
        fresh.load_state_dict(copy.deepcopy(model.state_dict()), strict=True)
        assert torch.equal(fresh.eval()(src)[0], model(src)[0])
    loaded.load_state_dict(copy.deepcopy(model.state_dict()))
    with pytest.raises(ValueError, match="--mha-heads-to-keep 1: the checkpoint has 4 heads"):
        loaded.load_state_dict(full)
    unpruned = classifier(arch, **options)
    unpruned.load_state_dict(full)
    assert unpruned.encoder.sentence_encoder.layers[0].self_attn.num_heads == 4


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mha_heads_to_keep": 0}, "--mha-heads-to-keep 0: from 1 to 4"),
        ({"mha_heads_to_keep": 5}, "--mha-heads-to-keep 5"),
        ({"mha_heads_to_keep": 2, "attention_projection": "identity-query"}, "reads its own part of the input"),
        ({"mha_heads_to_keep": -2}, "--mha-heads-to-keep -2"),
        ({"ffn_blocks_to_remove": 20}, "--ffn-blocks-to-remove 20: from 0 to 19"),
        ({"mha_heads_to_keep": 2, "attention_mixing": "top-r", "attention_r": "1:2:3:4"}, "--attention-r"),
    ],
    ids=str,
)
def test_what_cannot_be_pruned_is_named(options, named):
    with pytest.raises(ValueError, match=named):
        build("roberta_baseline", **options)


SHAPE = [
    *("--encoder-layers", "2", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16"),
    *("--encoder-attention-heads", "4", "--max-positions", "16", "--task", "masked_lm", "--tokens-per-sample", "16"),
]
TRAINING = [
    *("--criterion", "masked_lm", "--sample-break-mode", "none", "--max-tokens", "160", "--cpu", "--num-workers", "0"),
    # not Adam, which divides the rounding of gradients that are zero by its own size
    *("--optimizer", "sgd", "--lr", "0.01", "--seed", "3", "--log-format", "simple", "--log-interval", "1"),
    # within an epoch, fairseq's threads for the batches of training and of validation would draw their masks from one
    # generator of numpy, each in the midst of the other's
    *("--data-buffer-size", "0"),
]
PRUNED = ["--mha-heads-to-keep", "2", "--ffn-blocks-to-remove", "6"]


@pytest.fixture(scope="module")
def pruned(corpus, plugin, tmp_path_factory):
    """Trainings of stock and ours that go on from one checkpoint, trained by ours and pruned as a user does it."""
    folder = tmp_path_factory.mktemp("pruned")
    data = [corpus / "mono", "--user-dir", plugin, *SHAPE, *TRAINING]
    forked("train", *data, "--arch", "roberta_baseline", "--max-update", "2", "--save-dir", folder / "full")
    state = load_checkpoint(folder / "full" / "checkpoint_last.pt")
    model = building.load(Checkpoint("full", state))
    prune(model, 2, 6)
    torch.save({**state, "model": model.state_dict()}, folder / "pruned.pt")
    begin = [*PRUNED, "--finetune-from-model", folder / "pruned.pt", "--max-update", "4"]
    said = {
        arch: forked("train", *data, "--arch", arch, *begin, "--save-dir", folder / arch)
        for arch in ("roberta", "roberta_baseline")
    }
    return folder, data, said


def logged(text):
    found = re.findall(r"\| loss ([\d.]+).*?(?:num_updates|gnorm) ([\d.]+)", text)
    return torch.tensor([[float(number) for number in numbers] for numbers in found])


def test_trainings_go_on_as_stocks(pruned):
    folder, data, said = pruned
    assert len(logged(said["roberta"])) >= 4
    torch.testing.assert_close(logged(said["roberta_baseline"]), logged(said["roberta"]), rtol=0, atol=1.5e-3)
    saved = [load_checkpoint(folder / arch / "checkpoint_last.pt")["model"] for arch in said]
    for theirs, own in zip(*(weights.items() for weights in saved)):
        assert own[0] == theirs[0]
        torch.testing.assert_close(own[1], theirs[1], rtol=0, atol=1e-5)
    assert saved[0]["encoder.sentence_encoder.layers.1.self_attn.q_proj.weight"].shape == (8, 16)
    again = forked(
        "train",
        *data,
        *PRUNED,
        "--arch",
        "roberta_baseline",
        "--max-update",
        "5",
        "--save-dir",
        folder / "roberta_baseline",
    )
    assert "num_updates 5" in again


def test_pruned_checkpoints_are_validated_and_folded(pruned, corpus, plugin, tmp_path):
    folder, _, _ = pruned
    # not the best one: a fork inherits the best loss of whatever this process trained before (fairseq keeps it)
    path = folder / "roberta_baseline" / "checkpoint_last.pt"
    common = ["--task", "masked_lm", "--user-dir", plugin, "--valid-subset", "valid", "--cpu", "--num-workers", "0"]
    found = forked("validate", corpus / "mono", *common, "--path", path, "--max-tokens", "160")
    assert re.search(r"\| loss [\d.]+", found)

    model = building.load(Checkpoint("pruned", load_checkpoint(path)))
    assert any("--mha-heads-to-keep 2" in sentence for sentence in wrong_options(model.args))
    fold_checkpoint(path, tmp_path / "folded.pt")
    folded = load_checkpoint(tmp_path / "folded.pt")
    assert folded["cfg"]["model"].encoder_ffn_embed_dim == 10
    stock = build_stock(folded["cfg"]["model"], len(model.encoder.dictionary))
    prune(stock, 2, 0)
    stock.load_state_dict(folded["model"])
    tokens = torch.tensor([[0, 5, 6, 7, 2]])
    torch.testing.assert_close(stock.eval()(tokens)[0], model(tokens)[0], rtol=0, atol=1e-5)


def build_stock(options, words):
    assert (options.arch, options.ffn_blocks_to_remove) == ("roberta", -1)
    return building.build(Namespace(**vars(options)), building.Vocabularies(words, words))
