"""``--fast-dropout``: dropout on CPUs whose masks cost a fraction of torch's."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
import torch
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor

#: a probability is a multiple of one in so many
STEPS = 1 << 16
#: below so many elements, drawing by torch takes less time than a call into numpy
LEAST_ELEMENTS = 1 << 14
#: torch < 2.1 has no such function
_is_compiling = getattr(getattr(torch, "compiler", None), "is_compiling", lambda: False)


class FastDropout(FairseqDropout):
    """``FairseqDropout`` with other random numbers.

    On a CPU each element is dropped if its own 16 random bits say so: independently of all others, with probability
    ``q = round(p * 65536) / 65536``. Kept ones are multiplied by ``1 / (1 - q)``, so the expectation is the input,
    whatever the rounding of p. The bits are those of numpy's generator SFC64, which torch's generator seeds in each
    call: after the same ``torch.manual_seed`` come the same masks, and activation checkpointing draws them again.

    It is ``F.dropout`` on other devices, in compiled code, for small tensors, in place, and where q is 0 or 1.

    The bits are drawn in one thread, torch's in all of them: the more threads, the smaller the advantage.
    """

    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        dropped = round(self.p * STEPS)
        if (
            not (self.training or self.apply_during_inference)
            or not 0 < dropped < STEPS
            or _is_compiling()
            or x.device.type != "cpu"
            or x.numel() < LEAST_ELEMENTS
            or inplace
        ):
            return super().forward(x, inplace)
        return _ScaleKept.apply(x, _draw_kept(x, dropped), STEPS / (STEPS - dropped))


def set_dropout(stack: Any) -> None:
    """Make every ``FairseqDropout`` of an encoder or decoder a :class:`FastDropout` if its options say so."""
    if not getattr(stack.cfg, "fast_dropout", None):
        return
    for parent in list(stack.modules()):
        for name, child in parent.named_children():
            if type(child) is FairseqDropout:
                setattr(parent, name, FastDropout(child.p, child.module_name))


def _draw_kept(x: Tensor, dropped: int) -> Tensor:
    """uint8 in the shape and memory layout of x: 0 with probability ``dropped / 65536``, 1 else."""
    seed = int(torch.randint(1 << 62, (), device="cpu"))
    words = np.random.SFC64(seed).random_raw((x.numel() + 3) // 4)
    kept = words.view(np.uint16)[: x.numel()] >= dropped
    mask = torch.from_numpy(kept.view(np.uint8)).view(x.shape)
    return mask if x.is_contiguous() else torch.empty_like(x, dtype=torch.uint8).copy_(mask)


class _ScaleKept(torch.autograd.Function):
    """``x * kept * scale``, which is linear in x: its gradient is the same function of the output's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(kept)
        ctx.scale = scale
        # uint8 becomes floating point much faster than bool, and apart from the product
        return kept.to(x.dtype).mul_(x).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None]:  # type: ignore[override]
        (kept,) = ctx.saved_tensors
        return _ScaleKept.apply(grad, kept, ctx.scale), None, None
