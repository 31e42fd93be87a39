"""What the models of every family share: their command-line options, and the config that their layers read."""

from __future__ import annotations

import functools
from collections.abc import Container
from dataclasses import field, fields, make_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_type_hints

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models.transformer import TransformerConfig

from fairseq_plugins.attention import AttentionConfig
from fairseq_plugins.attention.config import option_classes

from .fast_inference import CLASSES
from .grid import VARIANTS
from .matched import match_parameters


def add_options(parser: Any, cls: type, known: Container[str] = ()) -> None:
    """Add the fields of an options dataclass to an argparse parser, without defaults: the architecture sets them.

    Those that are ``known``, such as what a class inherits from one that was added, are left out.
    """
    left_out = frozenset(item.name for item in fields(cls) if item.name in known)
    gen_parser_from_dataclass(parser, _of_fairseq(cls, left_out)(), delete_default=True, with_prefix="")


@functools.cache
def _of_fairseq(cls: type, left_out: frozenset[str]) -> type:
    """An options dataclass by fairseq's types, without some of its fields."""
    parts = []
    for item in fields(cls):
        if item.name in left_out:
            continue
        choices, hint = item.metadata.get("choices"), get_type_hints(cls)[item.name]
        if isinstance(hint, UnionType):
            hint = Union[get_args(hint)]  # noqa: UP007  the spelling that fairseq knows
        kind: Any = ChoiceEnum(list(choices)) if choices else hint
        parts.append((item.name, kind, field(default=item.default, metadata=dict(item.metadata))))
    return make_dataclass(cls.__name__, parts, bases=(FairseqDataclass,))


def add_model_args(parser: Any) -> None:
    """Add the options of attention, of the control of equal size and of speed to an argparse parser."""
    known: set[str] = set()
    for cls in option_classes():
        add_options(parser, cls, known)
        known.update(item.name for item in fields(cls))
    parser.add_argument(
        "--match-parameters-of",
        choices=sorted(VARIANTS),
        help="widen the feed-forward layers until the model has as many parameters as this variant",
    )
    parser.add_argument(
        "--fast-dropout",
        action="store_true",
        help="draw dropout's masks on CPUs faster than torch does; they are other random numbers than "
        "fairseq's, equally distributed with each probability rounded to a multiple of 1/65536; of long sequences "
        "attention then keeps no weights for the backward pass, which makes them anew",
    )
    parser.add_argument(
        "--fast-inference",
        action="store_true",
        help="generate with weights packed for the CPU (results differ in their last bits), a faster beam search, and "
        "hypotheses that hold no attention weights unless --print-alignment asks for them; of a trained model: "
        "--model-overrides \"{'fast_inference': True}\"",
    )
    parser.add_argument(
        "--inference-weights",
        choices=sorted(CLASSES),
        help="with --fast-inference on a CPU: what linear maps multiply, bfloat16 or int8 where the processor has "
        "instructions for it (results differ); all else stays float32 (default: float32)",
    )
    parser.add_argument(
        "--cuda-graphs",
        action="store_true",
        help="with --fast-inference: decode each batch by one step of fixed sizes, which a GPU captures as a CUDA "
        "graph; sentences that are finished stay to the end of their batch",
    )
    parser.add_argument(
        "--compile-layers",
        nargs="?",
        const="inductor",
        metavar="BACKEND",
        help="train with every layer compiled by torch.compile (default backend: inductor), for GPUs; batches of few "
        "lengths (--num-batch-buckets) are compiled least often",
    )


def layer_config(args: Any, family: str) -> TransformerConfig:
    """fairseq's config with ``attention`` parsed and feed-forward widths matched; given such a config, itself."""
    cfg = TransformerConfig.from_namespace(args)
    if not isinstance(vars(cfg).get("attention"), AttentionConfig):
        cfg.attention = AttentionConfig.from_options(cfg)
        variant = vars(cfg).get("match_parameters_of")
        if variant is not None:
            match_parameters(cfg, family, str(variant))
    return cfg
