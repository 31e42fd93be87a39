"""Guided alignment: stock's losses and alignments on the baseline, and the weights that every choice applies."""

import random
import re
from argparse import Namespace

import pytest
import torch
from builders import TRANSLATION_CASES, batch, build, dictionary, translation_task
from fairseq.criterions.label_smoothed_cross_entropy_with_alignment import (
    LabelSmoothedCrossEntropyCriterionWithAlignment,
)
from fairseq.data.language_pair_dataset import collate
from fairseq.sequence_generator import SequenceGeneratorWithAlignment
from running import SIZES, forked

DROPOUT = {"dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.1}
#: what a user says, and the stock architecture that does it
SETTINGS = {
    "last layer": ("transformer", {}),
    "one head": ("transformer_align", {"alignment_layer": 0, "alignment_heads": 1}),
    "full context": (
        "transformer_align",
        {"alignment_layer": 1, "alignment_heads": 2, "full_context_alignment": True},
    ),
}


@pytest.fixture(params=sorted(SETTINGS))
def pair(request):
    """A stock model and ours of the same weights, in float64, which are trained with alignments."""
    arch, options = SETTINGS[request.param]
    task = translation_task(load_alignments=True)
    stock, ours = (build(name, task, **DROPOUT, **options) for name in (arch, "transformer_baseline_tiny"))
    ours.load_state_dict(stock.state_dict())
    return task, stock.double(), ours.double()


def samples(seed):
    """A batch of pairs of unequal lengths, the last without alignments, as fairseq's dataset makes it."""
    words, rng = dictionary(), random.Random(seed)
    made = []
    for number in range(4):
        source, target = (
            torch.tensor([*(rng.randrange(4, len(words)) for _ in range(rng.randint(2, 6))), words.eos()])
            for _ in range(2)
        )
        links = [(i, i % (len(target) - 1)) for i in range(len(source) - 1)] if number < 3 else []
        made.append({"id": number, "source": source, "target": target, "alignment": torch.tensor(links).view(-1, 2)})
    return collate(made, words.pad(), words.eos())


def losses(task, model, updates=5):
    """Loss and alignment loss of each update, and of a validation after them."""
    criterion = LabelSmoothedCrossEntropyCriterionWithAlignment(task, False, 0.1, alignment_lambda=0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    torch.manual_seed(7)
    found = []
    for update in range(updates):
        loss, size, logged = criterion(model.train(), samples(update))
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
        found.append((float(loss.detach()), float(logged["alignment_loss"])))
    _, _, logged = criterion(model.eval(), samples(updates))
    return torch.tensor([*found, (logged["loss"], logged["alignment_loss"])], dtype=torch.float64)


def test_the_baseline_has_stocks_losses_update_for_update(pair):
    """Dropout included: it draws the same random numbers. (fairseq rounds alignments to float32.)"""
    task, stock, ours = pair
    torch.testing.assert_close(losses(task, ours), losses(task, stock), rtol=1e-6, atol=0)


@torch.no_grad()
def test_generation_aligns_as_training_did(pair):
    """By the chosen layer and heads, as stock does in training; its generation reads others (fairseq#4688)."""
    _, stock, ours = pair
    src, lengths, _ = batch()
    asked = Namespace(generation=Namespace(print_alignment="soft", beam=2))
    words = ours.decoder.dictionary
    for model in (stock, ours):
        model.prepare_for_inference_(asked)
    generator = SequenceGeneratorWithAlignment(
        [ours], words, beam_size=2, max_len_b=6, print_alignment="soft", match_source_len=False
    )
    net_input = {"src_tokens": src, "src_lengths": lengths}
    found = generator.generate([ours], {"net_input": net_input})
    for row, sentence in enumerate(found):
        for hypothesis in sentence:
            tokens = hypothesis["tokens"]
            prev = torch.cat([tokens[-1:], tokens[:-1]])[None]
            text = src[row : row + 1, src.size(1) - lengths[row] :]
            expected = stock(text, lengths[row : row + 1], prev)[1]["attn"][0][0]
            aligned = torch.tensor([list(map(float, of_word)) for of_word in hypothesis["alignment"]])
            torch.testing.assert_close(aligned, expected[: len(aligned)].float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", TRANSLATION_CASES)
def test_weights_in_training_are_those_applied(case):
    """Their product with the values is what the output projection reads, head by head; and they can be learned."""
    model = build(case).double().train()
    src, lengths, prev = batch()
    attention, seen = model.decoder.layers[0].encoder_attn, []
    attention.out_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    values = []
    attention.map_of("v").register_forward_hook(lambda _, __, out: values.append(out))
    for heads in (1, 4):
        seen.clear(), values.clear()
        weights = model(src, lengths, prev, alignment_layer=0, alignment_heads=heads)[1]["attn"][0]
        if heads == 1:
            head = attention._split_heads(values[-1])[:, 0]  # a shared map makes queries first
            mixed = (weights @ head).transpose(0, 1)
            torch.testing.assert_close(mixed, seen[0][..., : attention.head_dim], rtol=0, atol=1e-6)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 6).double(), rtol=0, atol=1e-6)
    (grad,) = torch.autograd.grad(
        weights.square().sum(), [p for p in attention.map_of("k").parameters() if p.dim() > 1][-1:]
    )
    assert grad.abs().max() > 0


@pytest.mark.parametrize(
    "options", [{"alignment_layer": 0}, {"alignment_heads": 2}, {"full_context_alignment": True}], ids=str
)
def test_a_loss_of_ones_own_has_the_weights_that_the_options_name(options):
    model, stock = build("transformer_baseline_tiny", **options).train(), build("transformer_tiny").train()
    stock.load_state_dict(model.state_dict())
    src, lengths, prev = batch()
    given = {"encoder_out": stock.encoder(src, lengths), **options}
    expected = stock.decoder(prev, **given)[1]["attn"][0]
    torch.testing.assert_close(model(src, lengths, prev)[1]["attn"][0][prev != 1], expected[prev != 1])


def test_guided_training_of_our_own_choices():
    task = translation_task(load_alignments=True)
    for case in ("transformer_pairwise_neural_everywhere", "transformer_kernel-elu1"):
        found = losses(task, build(case, task, alignment_heads=1), updates=15)
        assert found.isfinite().all()
        assert found[-5:, 1].mean() < found[:5, 1].mean()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"alignment_layer": 2}, "--alignment-layer 2: choose from 0, the lowest, to 1"),
        ({"alignment_layer": -1}, "--alignment-layer -1"),
        ({"alignment_heads": 5}, "--alignment-heads 5: choose from 1 to 4"),
        ({"attention_kernel": "relu"}, "--attention-kernel relu .*encoder=relu,decoder=relu"),
        ({"attention_mixing": "top-r"}, "--attention-mixing top-r .*encoder=top-r"),
        ({"no_cross_attention": True}, "--no-cross-attention"),
    ],
    ids=str,
)
def test_what_cannot_be_guided_is_named(options, named):
    with pytest.raises(ValueError, match=named):
        build("transformer_baseline_tiny", translation_task(load_alignments=True), **options)


def test_the_advice_is_taken():
    sites = {"attention_kernel": "encoder=relu,decoder=relu", "attention_mixing": "encoder=top-r,decoder=top-r"}
    build("transformer_baseline_tiny", translation_task(load_alignments=True), **sites)
    build("transformer_baseline_tiny", translation_task(), attention_kernel="relu")


def test_fairseqs_commands(tmp_path, plugin):
    """Alignments of a reversal task are preprocessed, learned and printed."""
    rng = random.Random(1)
    for split, size in (("train", 40), ("valid", 10)):
        lines = [[f"w{rng.randrange(20)}" for _ in range(rng.randint(2, 6))] for _ in range(size)]
        links = (" ".join(f"{i}-{len(line) - 1 - i}" for i in range(len(line))) for line in lines)
        (tmp_path / f"{split}.align").write_text("".join(f"{line}\n" for line in links))
        (tmp_path / f"{split}.de").write_text("".join(" ".join(line) + "\n" for line in lines))
        (tmp_path / f"{split}.en").write_text("".join(" ".join(line[::-1]) + "\n" for line in lines))
    files = ["--trainpref", tmp_path / "train", "--validpref", tmp_path / "valid", "--align-suffix", "align"]
    forked("preprocess", "-s", "de", "-t", "en", *files, "--joined-dictionary", "--destdir", tmp_path / "bin")
    common = [tmp_path / "bin", "--user-dir", plugin, "--cpu"]
    criterion = ["--criterion", "label_smoothed_cross_entropy_with_alignment", "--load-alignments"]
    model = ["--arch", "transformer_neuralqkv", *SIZES, "--alignment-layer", "0", "--alignment-heads", "1"]
    training = ["--optimizer", "adam", "--lr", "0.01", "--max-tokens", "200", "--max-update", "3", "--num-workers", "0"]
    said = forked("train", *common, *model, *criterion, *training, "--save-dir", tmp_path / "out")
    assert float(re.findall(r"alignment_loss ([\d.]+)", said)[-1]) > 0
    path = ["--path", tmp_path / "out" / "checkpoint_last.pt", "--gen-subset", "valid", "--num-workers", "0"]
    said = forked("generate", *common, *path, "--print-alignment", "--beam", "2", "--batch-size", "5")
    assert len(re.findall(r"^A-\d+\t\d+-\d+", said, re.MULTILINE)) == 10
