"""Checkpoints: reading them safely, what they say of their model, converting, averaging, overriding, writing whole.

A checkpoint is read once into a :class:`Checkpoint`. The other files of this room build models and are imported where
they are needed.
"""

from .checkpoint import Checkpoint, Weights
from .reading import CheckpointError

__all__ = ["Checkpoint", "CheckpointError", "Weights"]
