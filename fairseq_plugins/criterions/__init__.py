"""Registers the criteria that fuse the loss with the vocabulary projection or train in bfloat16."""

from . import autocast_masked_lm, fused_cross_entropy, fused_label_smoothed_cross_entropy  # noqa: F401
