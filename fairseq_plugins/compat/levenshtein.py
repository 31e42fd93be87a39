"""Levenshtein and insertion transformers (``--task translation_lev``)."""

from __future__ import annotations

import functools
import sys

from . import libnat as stand_in
from .registry import mark, marked, repair


@repair("fairseq#3419, fairseq#2010")
def missing_libnat() -> bool:
    """Training a Levenshtein or insertion transformer ends with "cannot import name 'libnat'".

    That is the C++ extension which they take their labels from, and the package of fairseq 0.12.2 lacks its sources.
    Where it cannot be imported (or was built for another torch) our own functions take its place.
    """
    import fairseq

    try:
        from fairseq import libnat
    except ImportError:
        sys.modules["fairseq.libnat"] = fairseq.libnat = stand_in
        return True
    return libnat is stand_in


@repair("fairseq#2010")
def libnat_said_once() -> bool:
    """Without ``libnat_cuda`` the training of a Levenshtein transformer prints twice an update that it is missing."""
    from fairseq.models.nat import levenshtein_utils

    if not marked(levenshtein_utils.load_libnat):
        once = functools.lru_cache(maxsize=None)(levenshtein_utils.load_libnat)  # a failure is not kept
        levenshtein_utils.load_libnat = mark(lambda: once(), levenshtein_utils.load_libnat)
    return True
