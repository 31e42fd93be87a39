"""Masked words that are whole, tasks whose options an architecture has too, and inputs that are too long."""

import re

import pytest
import tiny_training
import torch
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models.roberta import RobertaModel
from fairseq_cli import preprocess
from running import forked

from fairseq_plugins.text import byte_bpe

TEXT = ["hello worldly hello", "another sentence of uncommonly lengthy words", "hello sentence, worldly words"] * 8
MODEL = "--encoder-layers 1 --encoder-embed-dim 16 --encoder-ffn-embed-dim 16 --encoder-attention-heads 2"


def configuration(arguments):
    parsed = options.parse_args_and_arch(options.get_training_parser(), arguments.split())
    return convert_namespace_to_omegaconf(parsed)


def binarised(folder, lines):
    lines = list(lines)
    for split in ("train", "valid"):
        (folder / split).write_text("".join(f"{line}\n" for line in lines))
    arguments = ["--only-source", "--destdir", f"{folder}/bin", "--workers", "1"]
    arguments += [f"--trainpref={folder}/train", f"--validpref={folder}/valid"]
    preprocess.main(options.get_preprocessing_parser().parse_args(arguments))


@pytest.fixture(params=["gpt2", "sentencepiece", "none"])
def text(request, tmp_path):
    """A folder of data, the options of its BPE, and whether a piece of text begins a word."""
    if request.param == "none":
        binarised(tmp_path, TEXT)
        return tmp_path / "bin", "", lambda piece: True
    if request.param == "gpt2":
        vocabulary, merges = byte_bpe.learn(TEXT, 280)
        byte_bpe.write_model(tmp_path, vocabulary, merges)
        binarised(tmp_path, map(byte_bpe.ByteBPE(tmp_path).encode, TEXT))
        files = f"--gpt2-encoder-json {tmp_path}/encoder.json --gpt2-vocab-bpe {tmp_path}/vocab.bpe"
        symbols = {str(number): symbol for symbol, number in vocabulary.items()}
        return tmp_path / "bin", f"--bpe gpt2 {files}", lambda piece: symbols[piece].startswith("\u0120")
    sentencepiece = pytest.importorskip("sentencepiece")
    model = f"{tmp_path}/pieces"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_prefix=model, vocab_size=29, minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=f"{model}.model")
    binarised(tmp_path, (" ".join(pieces.encode(line, out_type=str)) for line in TEXT))
    chosen = f"--bpe sentencepiece --sentencepiece-model {model}.model"
    return tmp_path / "bin", chosen, lambda piece: piece.startswith("\u2581")


def test_masks_cover_whole_words(text):
    folder, bpe, begins = text
    arguments = f"{folder} --task masked_lm --arch roberta_base --mask-whole-words --mask-prob 0.3 {bpe}"
    configured = configuration(f"{arguments} --random-token-prob 0 --tokens-per-sample 64")
    task = tasks.setup_task(configured.task)
    task.load_dataset("train")
    dataset, dictionary = task.dataset("train"), task.dictionary
    sizes, left = set(), set()
    for number in range(len(dataset)):
        item = dataset[number]
        source, target = item["net_input.src_tokens"], item["target"]
        chosen = target.ne(dictionary.pad())
        tokens = torch.where(chosen, target, source).tolist()
        starts = [k for k, t in enumerate(tokens) if t < dictionary.nspecial or begins(dictionary[t])]
        for start, end in zip(starts, [*starts[1:], len(tokens)]):
            masked = source[start:end].eq(task.mask_idx)
            assert chosen[start:end].all() or not chosen[start:end].any()
            assert masked.all() or not masked.any()
            assert not masked.any() or chosen[start]
            (sizes if masked.any() else left).add(end - start)
    assert left
    assert sizes == {1} if not bpe else max(sizes) > 1


def test_whole_words_from_training_to_validation(tmp_path):
    """The BPE's files stand in the checkpoint, where fairseq-validate finds them."""
    byte_bpe.write_model(tmp_path, *byte_bpe.learn(TEXT, 280))
    binarised(tmp_path, map(byte_bpe.ByteBPE(tmp_path).encode, TEXT))
    files = f"--bpe gpt2 --gpt2-encoder-json {tmp_path}/encoder.json --gpt2-vocab-bpe {tmp_path}/vocab.bpe"
    arguments = tiny_training.KINDS["mlm"].replace("mono", "bin", 1).replace("roberta_base", "roberta_baseline_tiny")
    saved = tiny_training.train(tmp_path, tmp_path / "saved", f"{arguments} --mask-whole-words {files}", updates=1)
    output = forked(
        "validate", tmp_path / "bin", "--task", "masked_lm", "--path", saved, "--cpu", "--max-tokens", "200"
    )
    assert re.search(r"valid on 'valid' subset \| loss \d", output)


def test_denoising(corpus, tmp_path):
    """Options that the task and the architecture share are one option; both architectures begin with equal losses."""
    task = "mono --task denoising --mask 0.3 --mask-length span-poisson --replace-length 1 --rotate 0 --seed 5"
    blocks = "--sample-break-mode none --tokens-per-sample 32 --dropout 0 --optimizer adam"
    losses = []
    for arch in ("transformer_tiny", "transformer_baseline_tiny"):
        arguments = f"{task} --arch {arch} {tiny_training.SMALL} {blocks}"
        given = configuration(f"{arguments} --max-source-positions 77")
        assert (given.task.max_source_positions, given.task.max_target_positions) == (77, 1024)
        assert given.model.max_source_positions == 77
        saved = tiny_training.train(corpus, tmp_path / arch, arguments, updates=1)
        losses.append(tiny_training.trained_loss(saved))
    assert losses[0] > 0
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize("arch", ["roberta_base", "roberta_baseline_tiny"])
def test_more_tokens_than_positions(arch, corpus):
    sizes = f"{MODEL} --max-positions 8 --tokens-per-sample 8"
    configured = configuration(f"{corpus}/mono --task masked_lm --arch {arch} {sizes}")
    model = RobertaModel.build_model(configured.model, tasks.setup_task(configured.task)).eval()
    tokens = torch.full((2, 8), 5)
    padded = torch.cat([tokens, torch.ones(2, 3, dtype=torch.long)], dim=1)  # padding takes no position
    assert torch.allclose(model(padded)[0][:, :8], model(tokens)[0], atol=1e-5)
    with pytest.raises(ValueError, match="a sentence of 9 tokens is longer than the model's 8 positions"):
        model(torch.full((2, 9), 5))
