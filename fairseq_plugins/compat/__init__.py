"""Every repair that fairseq and torch need, in one room; nothing else in this package patches anything.

Each repair looks for the defect itself (never for a version), so it leaves fairseq's main branch alone where the
defect is gone, and a second :func:`apply` finds nothing to do. It accepts, returns and raises whatever the original
does, but for the defect. :func:`repairs` lists them with their reasons.

What cannot be repaired from here:

- Forgetting ``--user-dir``: no code of this package runs then, and fairseq dies of ``IndexError: Replacement index
  1 out of range`` (its message for an unknown model passes the configuration's braces to ``str.format``). Where the
  package is imported, the message is repaired.
- ``fairseq-score --sacrebleu`` passes an open file where sacrebleu wants lines, and it imports no ``--user-dir``;
  use the ``sacrebleu`` command.
"""

# Each registers what it holds, and apply() follows this order: messages come before fairseq's first import.
# isort: off
from . import messages  # noqa: F401
from . import checkpoints, encoder_layer, configuration, user_dir  # noqa: F401
from . import numpy_names, workers, processes  # noqa: F401
from . import levenshtein  # noqa: F401

# isort: on
from .registry import Repair, apply, repairs

__all__ = ["Repair", "apply", "repairs"]
