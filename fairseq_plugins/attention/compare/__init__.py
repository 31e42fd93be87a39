"""Stage 2, compare: scores from queries and keys. A new choice is one file, imported here."""

from . import dot, pairwise, symmetric  # noqa: F401  each registers its choice
