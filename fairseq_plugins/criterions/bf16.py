"""bfloat16 autocast around a criterion, where fairseq's ``--amp`` knows float16 on GPUs only."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from fairseq_plugins.runtime import processor

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def bf16_autocast(device: torch.device, enabled: bool) -> Iterator[None]:
    """Matrix products in bfloat16 on the device; attention by ``scaled_dot_product_attention`` in float32 on CPUs.

    If not enabled, everything, an autocast around it included, stays as it is.
    """
    if not enabled:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
        if device.type == "cpu":
            _warn_if_emulated()
            # torch's unfused attention takes bfloat16 to float32; the fused one's backward pass is slow in bfloat16
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


@functools.cache
def _warn_if_emulated() -> None:
    if not processor.multiplies_bfloat16():
        logger.warning("--autocast-bf16: this CPU has no bfloat16 products; training is faster without the option")
