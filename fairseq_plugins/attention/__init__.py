"""Attention in four stages: project -> compare -> normalise -> mix. It needs torch and numpy alone.

Each stage has a registry of choices (:mod:`.stages`) and a folder with a file for each;
:class:`.module.StagedMultiheadAttention` joins one choice of each.
"""

from . import compare, mix, normalise, project  # noqa: F401  they register their choices
from .config import AttentionConfig
from .masks import CAUSAL, AttentionMask
from .module import StagedMultiheadAttention
from .multihead import MultiheadAttention
from .stages import STAGES

__all__ = ["CAUSAL", "STAGES", "AttentionConfig", "AttentionMask", "MultiheadAttention", "StagedMultiheadAttention"]
