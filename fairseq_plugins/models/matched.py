"""The control of equal size: the feed-forward width that gives a vanilla layer another variant's parameter count."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from fairseq_plugins.attention import AttentionConfig

from .grid import FAMILY_SITES, VARIANTS, variant_options


def match_parameters(cfg: Any, family: str, variant: str) -> None:
    """Set ``cfg``'s feed-forward widths so that each layer has as many parameters as ``variant``'s, in place.

    One unit of feed-forward width costs 2 d + 1 parameters, so a layer is met to within half of that: 0.01 % of a
    base-size model.

    Raises:
        ValueError: ``variant`` is unknown, or smaller by more than the feed-forward layer is wide.
    """
    if variant not in VARIANTS:
        raise ValueError(f"--match-parameters-of {variant}: choose from {', '.join(VARIANTS)}")
    given = {
        name: value for name, value in vars(cfg).items() if not name.startswith("attention_") and value is not None
    }
    target = AttentionConfig.from_options(Namespace(**{**variant_options(family, variant), **given}))

    sites = set(FAMILY_SITES[family])
    if cfg.no_cross_attention:
        sites.discard("cross")
    for side, of_side in ((cfg.encoder, {"encoder"}), (cfg.decoder, {"decoder", "cross"})):
        here = sorted(sites & of_side)
        extra = sum(_attention_size(cfg, target, site) - _attention_size(cfg, cfg.attention, site) for site in here)
        width = side.ffn_embed_dim + round(extra / (2 * side.embed_dim + 1))
        if width < 1:
            raise ValueError(f"--match-parameters-of {variant}: no feed-forward width is small enough")
        side.ffn_embed_dim = width


def _attention_size(cfg: Any, config: AttentionConfig, site: str) -> int:
    side = cfg.encoder if site == "encoder" else cfg.decoder
    keys = cfg.encoder.embed_dim if site == "cross" else side.embed_dim
    with torch.random.fork_rng(devices=[]):  # the model's own initialisation must not depend on this count
        attention = config.build(site, side.embed_dim, side.attention_heads, kdim=keys, vdim=keys)
    return sum(parameter.numel() for parameter in attention.parameters())
