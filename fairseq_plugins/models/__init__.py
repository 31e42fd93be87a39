"""The model families, and the plugin's front door: fairseq imports this package of a ``--user-dir`` by itself.

Importing it applies the repairs of :mod:`fairseq_plugins.compat` and registers every architecture of the grid
(:mod:`.grid`), every criterion and every optimizer.
"""

from fairseq_plugins import compat

compat.apply()  # before anything of fairseq's models is built or loaded

from fairseq_plugins import criterions, optim  # noqa: E402,F401  they register what they hold

from . import fast_search, roberta, transformer, transformer_lm  # noqa: E402,F401

fast_search.install()
