"""The authors' unfused neural QKV is the same function as ours, so that only its speed is another."""

import pytest
import torch
from builders import build as build_model
from torch import nn

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.benchmark.authors import AuthorsAttention, replace_attention
from fairseq_plugins.benchmark.compare_training import difference
from fairseq_plugins.benchmark.sizes import SIZES, training_options
from fairseq_plugins.benchmark.trainer import Training
from fairseq_plugins.benchmark.worker import Memory

SMALL_ROBERTA = "--encoder-layers 2 --encoder-embed-dim 24 --encoder-ffn-embed-dim 20 --encoder-attention-heads 3"
#: size -> further options, and the sequences' length
CASES = {"tiny": ("", 16), "roberta-base": (f"{SMALL_ROBERTA} --max-tokens 128", 32)}


@pytest.fixture(params=CASES)
def build(request, tmp_path):
    """``build(authors)``: a training with neural QKV."""
    more, length = CASES[request.param]
    size = SIZES[request.param]._replace(vocabulary=100, max_tokens=128, length=length)

    def made(authors, words=()):
        options = [*training_options(size, "neuralqkv"), *more.split(), *words]
        training = Training(options, str(tmp_path), size.vocabulary, length, 1, authors, 1, "cpu", Memory("cpu"))
        with torch.no_grad():
            for name, parameter in training.model.named_parameters():
                if parameter.dim() == 2 and ("q_proj" in name or "k_proj" in name):
                    parameter.mul_(8)  # as they are drawn, all keys have nearly the same weight
        return training

    return made


def attentions(training, kind):
    return [module for module in training.model.modules() if isinstance(module, kind)]


def test_losses_and_gradients_are_ours(build):
    ours, theirs = build(authors=False), build(authors=True)
    assert len(attentions(theirs, AuthorsAttention)) == len(attentions(ours, StagedMultiheadAttention)) > 0
    assert not attentions(theirs, StagedMultiheadAttention)
    assert ours.model.state_dict().keys() == theirs.model.state_dict().keys()
    first, second = ours.gate(), theirs.gate()
    assert difference(first, second) is None
    q_proj = attentions(theirs, AuthorsAttention)[0].q_proj
    assert type(q_proj) is nn.Sequential
    assert [type(layer) for layer in q_proj if not isinstance(layer, nn.LayerNorm)] == [nn.Linear, nn.ReLU, nn.Linear]
    with torch.no_grad():
        next(attentions(theirs, AuthorsAttention)[0].v_proj.parameters()).mul_(1.5)
    assert difference(first, theirs.gate()) is not None


def test_attention_weights_are_dropped_in_training(build):
    """Without any other dropout the loss of two passes differs in training alone."""
    training = build(authors=True, words=["--dropout", "0", "--attention-dropout", "0.5"])
    sample, _ = training.trainer._prepare_sample(training.batches[0])

    def losses():
        return [training.trainer.criterion(training.model, sample)[0].item() for _ in range(2)]

    training.model.train()
    assert len(set(losses())) == 2
    training.model.eval()
    assert len(set(losses())) == 1


def test_other_attention_has_no_such_form():
    with pytest.raises(ValueError, match="no shared projections: measure neuralqkv"):
        replace_attention(build_model("transformer_pairwise_tiny"))
    with pytest.raises(ValueError, match="linear maps and their networks: measure neuralqkv"):
        replace_attention(build_model("transformer_nonlinearquery_tiny"))
    with pytest.raises(ValueError, match="TransformerModel has none of our attention"):
        replace_attention(build_model("transformer"))
