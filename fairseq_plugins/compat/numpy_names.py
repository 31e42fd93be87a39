"""Names that numpy has no more."""

from __future__ import annotations

import importlib
import types
import warnings

import numpy as np

from .registry import repair, see


@repair("fairseq#4945")
def numpy_names() -> bool:
    """fairseq asks numpy for ``compat.long``, ``int`` and ``float``, which numpy 1.24 and 2.0 removed.

    ``--sample-break-mode eos`` and bucketed batches stop there.
    """
    gone = {"compat": types.SimpleNamespace(long=int), "int": int, "float": float}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of the names that it is about to remove
        missing = {name: value for name, value in gone.items() if not hasattr(np, name)}
    if not missing:
        return False
    for name in (
        "data.data_utils",
        "data.language_pair_dataset",
        "data.token_block_dataset",
        "modules.dynamic_crf_layer",
    ):
        see(importlib.import_module(f"fairseq.{name}"), "np", **missing)
    return True
