"""Every repair that fairseq and torch need, in one room; besides it only :mod:`fairseq_plugins.front_door` patches.

Each repair looks for the defect itself (never for a version), so it leaves fairseq's main branch alone where the
defect is gone, and a second :func:`apply` finds nothing to do. It accepts, returns and raises whatever the original
does, but for the defect. :func:`repairs` lists them with their reasons.

What cannot be repaired from here:

- Forgetting ``--user-dir``: no code of this package runs then, and fairseq dies of ``IndexError: Replacement index
  1 out of range`` (its message for an unknown model passes the configuration's braces to ``str.format``). Where the
  package is imported, the message is repaired.
- ``fairseq-score`` imports no ``--user-dir``. It takes a carriage return for the end of a line, stops without a word
  at the end of the shorter file, and with ``--sacrebleu`` passes an open file where sacrebleu wants lines; use the
  ``sacrebleu`` command or ``scripts/score.sh``.
- ``fairseq-preprocess`` without ``--user-dir`` takes a carriage return inside a line for its end.
"""

# Each registers what it holds, and apply() follows this order: messages come before fairseq's first import.
# isort: off
from . import messages  # noqa: F401
from . import checkpoints, encoder_layer, configuration  # noqa: F401
from . import lines, evaluation, programs, user_dir  # noqa: F401
from . import numpy_names, workers, processes  # noqa: F401
from . import retained_dropout  # noqa: F401
from . import empty_encoder, layer_pruning, model_overrides, hydra_keys  # noqa: F401
from . import generation, interactive, unknown_words, context_window  # noqa: F401
from . import masking, task_options, positions, hub, repeated_ngrams  # noqa: F401
from . import half_precision  # noqa: F401
from . import levenshtein  # noqa: F401

# isort: on
from .registry import Repair, apply, repairs

__all__ = ["Repair", "apply", "repairs"]
