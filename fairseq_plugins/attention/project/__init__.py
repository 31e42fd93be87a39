"""Stage 1, project: queries, keys, values and the output from their inputs. A new choice is one file, imported here."""

from . import linear, neural  # noqa: F401  each registers its choice
