"""Transformer encoders."""

import copy
import pickle

import torch
from answers import Purpose
from fairseq.models.transformer import TransformerConfig, TransformerEncoderBase
from fairseq.modules import LayerDropModuleList
from tiny_models import dictionary, plain

TOKENS = torch.tensor([[4, 5, 2], [1, 6, 2]])


def config(layers=1, dropped=0.0):
    cfg = TransformerConfig()
    cfg.encoder.layers, cfg.encoder.embed_dim, cfg.encoder.ffn_embed_dim, cfg.encoder.attention_heads = layers, 8, 8, 2
    cfg.encoder.layerdrop = dropped
    return cfg


def encoder(layers=1, dropped=0.0, **kwargs):
    torch.manual_seed(1)
    words = dictionary()
    return TransformerEncoderBase(config(layers, dropped), words, torch.nn.Embedding(len(words), 8, 1), **kwargs)


def layers(*how, **kwargs):
    """The kind of a list of layers and its length, as a module and as a list."""

    def call(_):
        found = encoder(*how, **kwargs).layers
        right = isinstance(found, LayerDropModuleList if how[1:] else torch.nn.ModuleList)
        return right, len(found), len(list(found)), repr(found[0:]).count("Layer") > 1

    return call


def output(made):
    return plain(made.eval()(TOKENS, torch.tensor([3, 2]), return_all_hiddens=True))


def again(how, *options):
    """A copy that has the parameters and the settings of the first."""

    def call(_):
        first = encoder(*options)
        second = how(first)
        return type(second).__name__, len(second.layers), list(second.state_dict()) == list(first.state_dict())

    return call


def filled(_):
    made = encoder(0)
    made.layers.append(encoder().layers[0])
    return len(made.layers), output(made)


def pickled(value):
    return pickle.loads(pickle.dumps(value))


def runs_when_pickled(*options):
    return lambda _: len(output(pickled(encoder(*options)))["encoder_out"][1])


CONTRACTS = {
    "empty_encoder": {
        "layers": layers(),
        "dropped layers": layers(1, 0.5),
        "no layers": layers(0),
        "no layers, dropped": layers(0, 0.5),
        "named arguments": layers(return_fc=True),
        "an unknown argument": layers(nobodys=1),
        "nothing": lambda _: TransformerEncoderBase(),
        "by keywords": lambda _: len(
            TransformerEncoderBase(
                cfg=config(), dictionary=dictionary(), embed_tokens=torch.nn.Embedding(12, 8, 1), return_fc=False
            ).layers
        ),
        "the output": lambda _: output(encoder()),
        "layers put in": filled,
        "the second of no layers": lambda _: encoder(0).layers[1],
        "the last of no layers": lambda _: encoder(0).layers[-1],
        "copied": again(copy.deepcopy),
        "copied without layers": again(copy.deepcopy, 0),
        "pickled": again(pickled),
        "pickled without layers": again(pickled, 0),
        "pickled without layers, dropped": again(pickled, 0, 0.5),
        "the output of no layers": Purpose(runs_when_pickled(0), 1),
        "the output of no layers, dropped": Purpose(runs_when_pickled(0, 0.5), 1),
    }
}
