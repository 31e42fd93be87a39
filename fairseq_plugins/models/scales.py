"""NormFormer's scales in language models: fairseq has options for them, and hands them to no layer.

Its language models are configured by hydra, whatever the command, and ``TransformerConfig`` takes over what it knows of
such a configuration: ``--scale-attn`` and its like are not in it. Trained with them, a model has no scales.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from fairseq.modules import LayerNorm
from torch import Tensor, nn

logger = logging.getLogger(__name__)

#: option -> what it would give a decoder layer
SCALES = {
    "scale_attn": "attn_ln",
    "scale_fc": "ffn_layernorm",
    "scale_heads": "c_attn",
    "scale_resids": "w_resid",
}


def ignore_scales(args: Any) -> None:
    """Delete the options from a namespace, and say so if one of them is on."""
    for name in SCALES:
        if vars(args).pop(name, None):
            option = name.replace("_", "-")
            logger.warning("--%s has no effect: fairseq hands it to no layer of such a model", option)


def take_over_scales(layers: Any, weights: Mapping[str, Tensor], prefix: str) -> None:
    """Give decoder layers the scales that a checkpoint has for them: this plugin once built them from the options."""
    for number, layer in enumerate(layers.children()):
        for name in SCALES.values():
            vector = weights.get(f"{prefix}.{number}.{name}")
            norm = weights.get(f"{prefix}.{number}.{name}.weight")
            if vector is not None:
                setattr(layer, name, nn.Parameter(torch.ones_like(vector).to(layer.fc1.weight)))
            elif norm is not None:
                setattr(layer, name, LayerNorm(len(norm)).to(layer.fc1.weight))
