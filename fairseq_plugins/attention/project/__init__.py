"""Stage 1, project: queries, keys, values and the output from their inputs. A new choice is one file, imported here."""

from . import identity_query, linear, neural, nonlinear_query, shared, shared_key_value  # noqa: F401  each registers its choice
