"""Stage 4, mix: the output from weights and values. A new choice is one file, imported here."""

from . import dense, top_r, value_aware, value_norm  # noqa: F401  each registers its choice
