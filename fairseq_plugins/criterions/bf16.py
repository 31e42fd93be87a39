"""bfloat16 autocast around a criterion, where fairseq's ``--amp`` knows float16 on GPUs only."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator

import torch
import torch.nn.functional as F

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def bf16_autocast(device: torch.device, enabled: bool) -> Iterator[None]:
    """Matrix products in bfloat16 on the device; attention by ``scaled_dot_product_attention`` in float32 on CPUs.

    If not enabled, everything, an autocast around it included, stays as it is.

    Raises:
        RuntimeError: this torch cannot train so on a CPU.
    """
    if not enabled:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
        if device.type == "cpu":
            if not trains_on_cpus():
                raise RuntimeError(
                    f"--autocast-bf16, autocast_masked_lm: torch {torch.__version__} cannot train in bfloat16 on a "
                    "CPU; leave them out (--preset fast instead of fast-bf16), or install torch 2"
                )
            _warn_if_emulated()
            stack.enter_context(_unfused_attention())
        yield


def _unfused_attention() -> contextlib.AbstractContextManager:
    """torch's unfused attention takes bfloat16 to float32; the backward pass of the fused one is slow in bfloat16."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # torch < 2.3
        return contextlib.nullcontext()
    return sdpa_kernel(SDPBackend.MATH)


@functools.cache
def trains_on_cpus() -> bool:
    """Whether a layer norm of bfloat16 has gradients for its float32 parameters: in torch 1.12 it has not."""
    x, weight = torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True), torch.ones(2, requires_grad=True)
    try:
        with torch.enable_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            out = F.layer_norm(x, (2,), weight)
        torch.autograd.grad(out.float().sum(), (x, weight))
    except RuntimeError:
        return False
    return True


@functools.cache
def _warn_if_emulated() -> None:
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)  # torch 1.12 cannot tell
    if supported is not None and not supported():
        logger.warning("--autocast-bf16: this CPU has no bfloat16 products; training is faster without the option")
