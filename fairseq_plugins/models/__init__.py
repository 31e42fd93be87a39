"""The model families. Importing registers every architecture of the grid (:mod:`.grid`) with fairseq."""

from . import roberta, transformer, transformer_lm  # noqa: F401
