"""Four lines of work on attention for fairseq, loaded by ``--user-dir fairseq_plugins``.

Importing the package applies the repairs of :mod:`fairseq_plugins.compat` and registers every architecture.
"""

from fairseq_plugins import compat

compat.apply()  # before anything of fairseq's models is built or loaded

from fairseq_plugins import models  # noqa: E402,F401  registers the architectures

__version__ = "0.1.0"
