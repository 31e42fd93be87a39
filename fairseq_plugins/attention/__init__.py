"""Attention in four stages: project -> compare -> normalise -> mix.

Each stage has a registry of choices (:mod:`.stages`); :class:`.module.StagedMultiheadAttention` joins one choice of
each and meets fairseq's attention contract. A new choice is one file that is imported here.
"""

from . import (  # noqa: F401  each import registers the choices of one file
    compatibility_dot,
    compatibility_pairwise,
    compatibility_symmetric,
    kernel_elu1,
    kernel_exp,
    kernel_poly,
    kernel_relu,
    mixing_dense,
    mixing_top_r,
    mixing_value_aware,
    projection_linear,
    projection_neural,
)
from .config import AttentionConfig, add_attention_args, attention_options, build_attention
from .masks import CAUSAL
from .module import StagedMultiheadAttention

__all__ = [
    "CAUSAL",
    "AttentionConfig",
    "StagedMultiheadAttention",
    "add_attention_args",
    "attention_options",
    "build_attention",
]
