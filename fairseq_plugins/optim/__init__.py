"""Registers the fused optimizer."""

from . import fused_adam  # noqa: F401
