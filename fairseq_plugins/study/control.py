"""What is the same for all variants of a study, or counted of each."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from fairseq_plugins.errors import UserError

from .batches import Batches
from .quantities import operations
from .spec import Study


def count_operations(described: Mapping[str, Namespace]) -> dict[str, float]:
    """Operations of a target token in every variant's training."""
    return {name: operations(args) for name, args in described.items()}


def check_batches(study: Study, described: Mapping[str, Namespace], seed: int) -> dict[str, Any]:
    """The fingerprint of what the trainings of a seed read.

    Raises:
        UserError: a variant reads other batches than the baseline.
    """
    updates = int(described[study.baseline].max_update)
    first = ""
    for name, args in described.items():
        seeded = copy.copy(args)
        seeded.seed = seed
        batches = Batches(seeded)
        fingerprint = batches.fingerprint(batches.model(), updates)
        first = first or fingerprint
        if fingerprint != first:
            raise UserError(
                f"{study.variants[name].place}: {name} reads other batches than {study.baseline} with seed {seed}; an "
                "option of it changes the data or the batches"
            )
    return {"updates": updates, "fingerprint": first}
