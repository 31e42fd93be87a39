"""What the models of every family share: their command-line options, and the config that their layers read."""

from __future__ import annotations

from typing import Any

from fairseq.models.transformer import TransformerConfig

from fairseq_plugins.attention import AttentionConfig, add_attention_args

from .grid import VARIANTS
from .matched import match_parameters


def add_model_args(parser: Any) -> None:
    """Add the options of attention and of the control of equal size to an argparse parser."""
    add_attention_args(parser)
    parser.add_argument(
        "--match-parameters-of",
        choices=sorted(VARIANTS),
        help="widen the feed-forward layers until the model has as many parameters as this variant",
    )


def layer_config(args: Any, family: str) -> TransformerConfig:
    """fairseq's config with ``attention`` parsed and feed-forward widths matched; given such a config, itself."""
    cfg = TransformerConfig.from_namespace(args)
    if not isinstance(vars(cfg).get("attention"), AttentionConfig):
        cfg.attention = AttentionConfig(cfg)
        variant = vars(cfg).get("match_parameters_of")
        if variant is not None:
            match_parameters(cfg, family, str(variant))
    return cfg
