"""Other programs with stock fairseq's weights compute what it does, and their figures are of the same work."""

import pytest
import torch

from fairseq_plugins.benchmark.compare_decoding import random_models
from fairseq_plugins.benchmark.compare_training import difference
from fairseq_plugins.benchmark.decoding import FairseqDecoding
from fairseq_plugins.benchmark.sizes import STOCK, Size, training_options
from fairseq_plugins.benchmark.trainer import Training
from fairseq_plugins.benchmark.worker import Memory

SMALL = ("--encoder-layers", "2", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24")
SMALL += ("--encoder-attention-heads", "2", "--dropout", "0.1", "--attention-dropout", "0.1")


def test_transformers_trains_the_same_masked_language_model(tmp_path):
    pytest.importorskip("accelerate")
    from fairseq_plugins.benchmark.huggingface import HuggingFaceTraining

    size = Size("roberta", "base", 50, 64, 16, SMALL)
    given = {
        "words": training_options(size, STOCK),
        "data": str(tmp_path),
        "vocabulary": 50,
        "length": 16,
        "batches": 1,
    }
    given |= {"authors": False, "threads": 1, "device": "cpu"}
    stock = Training(**given, memory=Memory("cpu"))
    other = HuggingFaceTraining(**given, memory=Memory("cpu"))
    assert difference(stock.gate(), other.gate()) is None
    before = {name: tensor.clone() for name, tensor in other.model.state_dict().items()}
    assert other.step()["tokens"] == stock.step()["tokens"] == 64
    assert any(not torch.equal(before[name], tensor) for name, tensor in other.model.state_dict().items())
    assert other.flops()["flops"] >= stock.flops()["flops"] > 0, "it scores every position, fairseq the masked ones"


@pytest.mark.parametrize("peer", ["huggingface", "joeynmt"])
def test_translations_are_those_of_stock(peer, tmp_path):
    pytest.importorskip({"huggingface": "transformers"}.get(peer, peer))
    if peer == "joeynmt":
        from fairseq_plugins.benchmark.joeynmt import JoeyNMTDecoding as Peer
    else:
        from fairseq_plugins.benchmark.huggingface import HuggingFaceDecoding as Peer
    models = random_models(str(tmp_path), "tiny", [STOCK], 12)
    words = [models.data, "--path", models.checkpoints[STOCK], "--beam", "3", "--max-tokens", "200", "--cpu"]
    stock, other = (kind(words, 1, "cpu", Memory("cpu")) for kind in (FairseqDecoding, Peer))
    expected, found = stock.gate()["hypotheses"], other.gate()["hypotheses"]
    assert len(expected) == 12
    assert {number: tokens for number, (tokens, _) in found.items()} == {
        n: tokens for n, (tokens, _) in expected.items()
    }
    if peer == "huggingface":
        for number, (_, score) in expected.items():
            assert found[number][1] == pytest.approx(score, abs=1e-5)
