"""Encoder layers whose attention has the weights that fairseq 0.12.2's constructor wants."""

import copy
import pickle

import torch
from answers import Purpose
from fairseq.models.transformer import TransformerConfig
from fairseq.modules.transformer_layer import TransformerEncoderLayer, TransformerEncoderLayerBase

REPEATED = ("in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")
REPEATED = {*REPEATED, "fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"}


def config(before=True, **changes):
    cfg = TransformerConfig()
    cfg.encoder.embed_dim, cfg.encoder.ffn_embed_dim, cfg.encoder.attention_heads = 8, 12, 2
    cfg.encoder.normalize_before, cfg.dropout = before, 0.0
    for name, value in changes.items():
        setattr(cfg, name, value)
    return cfg


def layer(*arguments, kind=TransformerEncoderLayerBase, before=True, changes=None, **kwargs):
    torch.manual_seed(1)
    return kind(config(before, **(changes or {})), *arguments, **kwargs)


def output(made, *arguments, **kwargs):
    torch.manual_seed(2)
    x = torch.randn(3, 2, 8, requires_grad=True)
    out = made(x, *arguments, **kwargs)
    parts = out if isinstance(out, tuple) else (out,)
    parts[0].sum().backward()
    return type(out).__name__, [part.tolist() for part in parts], x.grad.tolist()


def of(*arguments, evaluate=False, build=layer, **kwargs):
    """A layer's output and its gradient."""

    def call(_):
        made = build()
        return output(made.eval() if evaluate else made, *arguments, **kwargs)

    return call


PADDING = torch.tensor([[False, False, True], [False, False, False]])
FUTURE = torch.ones(3, 3).triu(1)


def reloaded(evaluate=True, **how):
    """A pre-norm layer, which has no fused kernel, after loading its own weights."""

    def call(_):
        made = layer()
        missing = made.load_state_dict(made.state_dict(), **how)
        return list(map(list, missing)), output(made.eval() if evaluate else made, PADDING)

    return call


def by_keywords(_):
    made, missing, unexpected, errors = layer(), [], [], []
    state = {f"here.{name}": value for name, value in made.state_dict().items()}
    made._load_from_state_dict(
        state,
        prefix="here.",
        local_metadata={},
        strict=True,
        missing_keys=missing,
        unexpected_keys=unexpected,
        error_msgs=errors,
    )
    return missing, unexpected, errors


class Curious(TransformerEncoderLayerBase):
    """Looks at its attention before its constructor has ended."""

    def build_fc1(self, *arguments):
        self.saw = type(self.self_attn).__name__, tuple(self.self_attn.q_proj.weight.shape)
        return super().build_fc1(*arguments)


class Own(TransformerEncoderLayerBase):
    """Has a signature of its own, and an attention by keywords."""

    def __init__(self, args, index, *, width=8):
        self.index = (index, width)
        super().__init__(args)

    def build_self_attention(self, embed_dim, cfg, **more):
        return super().build_self_attention(embed_dim=embed_dim, cfg=cfg)


def own_parts(made):
    """Names in their order, without the repeated ones."""
    return [
        [name for name, _ in made.named_children()],
        [name for name, _ in made.named_parameters() if name not in REPEATED],
        [name for name in made.state_dict() if name not in REPEATED],
    ]


def pruned(_):
    made = layer()
    made._prune_fc_layer(made._get_fc_rank(3))
    return output(made, None)


CONTRACTS = {
    "fused_encoder_layer": {
        "training": of(None),
        "training, post-norm": of(PADDING, build=lambda: layer(before=False)),
        "training with padding": of(PADDING),
        "a mask by keyword": of(encoder_padding_mask=PADDING, attn_mask=FUTURE),
        "a mask of truths": of(None, FUTURE.bool()),
        "a mask of bytes": of(None, FUTURE.byte()),
        "two masks": of(PADDING, FUTURE),
        "no mask at all": of(),
        "evaluation": of(PADDING, evaluate=True),
        "feed-forward's result": of(None, build=lambda: layer(True)),
        "feed-forward's result by keyword": of(None, build=lambda: layer(return_fc=True)),
        "another activation": of(None, build=lambda: layer(changes={"activation_fn": "gelu", "relu_dropout": 0.5})),
        "options instead of a configuration": lambda _: TransformerEncoderLayer(None),
        "no configuration": lambda _: TransformerEncoderLayerBase(),
        "loaded": reloaded(),
        "loaded for training": reloaded(evaluate=False),
        "loaded as it is": reloaded(strict=False),
        "loaded by keywords": by_keywords,
        "copied": of(None, build=lambda: copy.deepcopy(layer())),
        "pickled": of(None, build=lambda: pickle.loads(pickle.dumps(layer()))),
        "pruned": pruned,
        "its parts": lambda _: own_parts(layer()),
        "a curious one": lambda _: layer(kind=Curious).saw,
        "a curious one's parts": lambda _: own_parts(layer(kind=Curious)),
        "one with a signature": of(None, build=lambda: Own(config(), 3, width=4)),
        "one with a signature, its parts": lambda _: (Own(config(), 3).index, own_parts(Own(config(), 3))),
        "repeated parameters": Purpose(lambda _: sorted(REPEATED & dict(layer().named_parameters()).keys()), []),
        "its own attention after loading": Purpose(lambda _: calls_after_loading(), 1),
    }
}


def calls_after_loading():
    made, calls = layer(before=False), []
    made.load_state_dict(made.state_dict())
    made.self_attn.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        made.eval()(torch.randn(3, 2, 8), None)
    return len(calls)
