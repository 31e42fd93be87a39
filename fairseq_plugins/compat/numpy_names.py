"""Names and keywords that numpy has no more."""

from __future__ import annotations

import importlib
import inspect
import types
import warnings
from typing import Any

import numpy as np

from .registry import repair, see


@repair("fairseq#4945")
def numpy_names() -> bool:
    """fairseq asks numpy for ``compat.long``, ``int``, ``float`` and ``percentile(interpolation=)``, which are gone.

    ``--sample-break-mode eos`` and bucketed batches (``--num-batch-buckets``) stop there. numpy 1.24, 2.0 and 2.4
    removed them; ``interpolation`` is called ``method`` since 1.22.
    """
    gone: dict[str, Any] = {"compat": types.SimpleNamespace(long=int), "int": int, "float": float}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of the names that it is about to remove
        missing = {name: value for name, value in gone.items() if not hasattr(np, name)}
    if "interpolation" not in inspect.signature(np.percentile).parameters:
        missing["percentile"] = _percentile
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


def _percentile(*args: Any, **kwargs: Any) -> Any:
    """``numpy.percentile`` that takes ``interpolation`` for ``method``, as it did before numpy 2.4."""
    if "interpolation" in kwargs:
        kwargs["method"] = kwargs.pop("interpolation")
    return np.percentile(*args, **kwargs)
