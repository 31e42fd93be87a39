"""``--encoder-layers-to-keep`` and ``--decoder-layers-to-keep``."""

from argparse import Namespace

from answers import Purpose
from fairseq import checkpoint_utils
from fairseq.models.transformer import TransformerConfig, TransformerModel, TransformerModelBase
from omegaconf import OmegaConf
from tiny_models import arguments, translation_task

BOTH = {f"{side}.layers.{layer}.weight": f"{side}{layer}" for side in ("encoder", "decoder") for layer in range(3)}
BOTH = {**BOTH, "encoder.embed_tokens.weight": "words"}
DECODER = {name: value for name, value in BOTH.items() if "decoder" in name}
ALL = {"encoder_layers": 3, "decoder_layers": 3}


def held(as_, arch, options):
    if as_ is Namespace:
        return Namespace(arch=arch, **options)
    return OmegaConf.create({"_name": arch, **options}, flags={"struct": as_ == "locked"})


def pruned(state, as_=Namespace, arch="transformer", **options):
    """What is left, and which layers the options still choose."""

    def call(_):
        cfg = held(as_, arch, options)
        left = checkpoint_utils.prune_state_dict(dict(state), cfg)
        return (
            type(left).__name__,
            left,
            [getattr(cfg, f"{side}_layers_to_keep", None) for side in ("encoder", "decoder")],
        )

    return call


def same(cfg):
    def call(_):
        state = dict(BOTH)
        return checkpoint_utils.prune_state_dict(state, cfg) is state, state == BOTH

    return call


def built(keep, kind=TransformerModelBase, side="decoder", **how):
    """The layers of a model, and which its configuration says that they are."""

    def call(_):
        args = arguments(encoder_layers=3, decoder_layers=3, decoder_output_dim=8, decoder_input_dim=8)
        cfg = TransformerConfig.from_namespace(args) if kind is TransformerModelBase else args
        cfg = how.get("cfg", cfg)
        if cfg is not None:
            setattr(cfg, f"{side}_layers_to_keep", keep)
        model = kind.build_model(task=TASK, cfg=cfg) if how.get("keywords") else kind.build_model(cfg, TASK)
        return type(model).__name__, len(model.encoder.layers), len(model.decoder.layers)

    return call


def legacy(_):
    """The legacy class wants a complete namespace."""
    from fairseq.models import ARCH_CONFIG_REGISTRY

    args = arguments(encoder_layers=3, decoder_layers=3, encoder_layers_to_keep="0,2")
    ARCH_CONFIG_REGISTRY["transformer_tiny"](args)
    return len(TransformerModel.build_model(args, TASK).encoder.layers), args.encoder_layers_to_keep


TASK = translation_task()
KEPT = {"encoder_layers_to_keep": "0,2", "decoder_layers_to_keep": "1,2"}

CONTRACTS = {
    "layer_pruning": {
        "both sides": pruned(BOTH, **ALL, **KEPT),
        "both sides of settings": pruned(BOTH, "open", **ALL, **KEPT),
        "both sides of locked settings": pruned(BOTH, "locked", **ALL, **KEPT),
        "one side of one": pruned(DECODER, decoder_layers_to_keep="1,2"),
        "one side of one, in another order": pruned(DECODER, decoder_layers_to_keep="2,1"),
        "one layer": pruned(DECODER, decoder_layers_to_keep="2"),
        "all layers": pruned(DECODER, decoder_layers_to_keep="0,1,2"),
        "spaces": pruned(DECODER, decoder_layers_to_keep="0, 2"),
        "no layers in the weights": pruned({"head.weight": 1}, **KEPT),
        "no weights": pruned({}, **KEPT),
        "no numbers": pruned(DECODER, decoder_layers_to_keep="all"),
        "by keywords": lambda _: checkpoint_utils.prune_state_dict(state_dict=DECODER, model_cfg=None) is DECODER,
        "no options": same(None),
        "empty options": same(Namespace()),
        "no architecture": same(Namespace(arch=None, decoder_layers_to_keep="0")),
        "no name": same(OmegaConf.create({"decoder_layers_to_keep": "0"})),
        "no name in locked options": same(OmegaConf.create({"a": 1}, flags={"struct": True})),
        "a dictionary": same({"arch": "transformer", "decoder_layers_to_keep": "0"}),
        "another's model": same(Namespace(arch="ptt_transformer", **KEPT)),
        "nothing chosen": same(Namespace(arch="transformer", encoder_layers_to_keep=None, decoder_layers_to_keep="")),
        "the other side": Purpose(
            pruned(
                {"encoder.layers.0.w": "a", "decoder.layers.0.w": "b"}, encoder_layers=1, encoder_layers_to_keep="0"
            ),
            ("dict", {"encoder.layers.0.w": "a", "decoder.layers.0.w": "b"}, [None, None]),
        ),
    },
    "layers_to_keep": {
        "none": built(None),
        "no text": built(""),
        "text": built("0,2"),
        "text for the encoder": built("1", side="encoder"),
        "by keywords": built("0,2", keywords=True),
        "an empty list": built([]),
        "zero": built(0),
        "false": built(False),
        "the legacy class": legacy,
        "no configuration": built(None, cfg=None),
        "a class method": lambda _: [
            kind.build_model.__self__ is kind for kind in (TransformerModel, TransformerModelBase)
        ],
        "a list": Purpose(built([0, 2]), ("TransformerModelBase", 3, 2)),
    },
}
