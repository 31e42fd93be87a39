"""Floating-point operations, counted while they are done."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_flops(work: Callable[[], object]) -> int:
    """Operations of the matrix products in ``work``, a multiplication and an addition being two.

    torch's counter knows the fused attention of GPUs but takes that of CPUs for nothing, so it is computed as the
    products that it stands for.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        work()
    return int(counter.get_total_flops())
