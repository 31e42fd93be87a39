"""Four lines of work on attention for fairseq, loaded by ``--user-dir fairseq_plugins``.

Importing the package applies the repairs of :mod:`fairseq_plugins.compat` and registers every architecture, criterion
and optimizer.
"""

from . import compat

compat.apply()  # before anything of fairseq's models is built or loaded

from . import criterions, models, optim  # noqa: E402,F401  they register what they hold

__version__ = "0.1.0"
