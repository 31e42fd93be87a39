"""``--fast-dropout``: dropout on CPUs whose masks cost a fraction of torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor

from fairseq_plugins.attention.bits import pack, unpack

#: a probability is a multiple of one in so many
STEPS = 1 << 16
#: below so many elements, drawing by torch takes less time than a call into numpy
LEAST_ELEMENTS = 1 << 14


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
        masks = None if inplace else self.masks(x, x.numel())
        if masks is None:
            return super().forward(x, inplace)
        # the layout that an elementwise operation gives its output
        strides = torch.empty_like(x, device="meta").stride()
        return _ScaleKept.apply(x, pack(masks.draw(x.numel())), strides, masks.scale)

    def masks(self, x: Tensor, elements: int) -> SeededMasks | None:
        """The masks of a call for so many elements on x's device, or None where the call drops as ``F.dropout``."""
        dropped = round(self.p * STEPS)
        if (
            not (self.training or self.apply_during_inference)
            or not 0 < dropped < STEPS
            or torch.compiler.is_compiling()
            or x.device.type != "cpu"
            or elements < LEAST_ELEMENTS
        ):
            return None
        return SeededMasks(int(torch.randint(1 << 62, (), device="cpu")), dropped)


def set_dropout(stack: Any) -> None:
    """Make every ``FairseqDropout`` of an encoder or decoder a :class:`FastDropout` if its options say so."""
    if not getattr(stack.cfg, "fast_dropout", None):
        return
    for parent in list(stack.modules()):
        for name, child in parent.named_children():
            if type(child) is FairseqDropout:
                setattr(parent, name, FastDropout(child.p, child.module_name))


class SeededMasks:
    """The masks of one call; the seed decides them.

    Args:
        seed: of the call.
        dropped: in how many of 65536 cases an element is dropped.
    """

    def __init__(self, seed: int, dropped: int) -> None:
        self._bits, self._dropped = np.random.SFC64(seed), dropped
        #: what is kept is multiplied by it
        self.scale = STEPS / (STEPS - dropped)

    def draw(self, size: int) -> Tensor:
        """uint8 (size,): 0 with probability ``dropped / 65536``, 1 else; every call draws others."""
        words = self._bits.random_raw((size + 3) // 4)
        kept = words.view(np.uint16)[:size] >= self._dropped
        return torch.from_numpy(kept.view(np.uint8))


class _ScaleKept(torch.autograd.Function):
    """``x * kept * scale``, which is linear in x: its gradient is the same function of the output's.

    ``bits`` are packed in the order of memory of a tensor with these strides.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: Tensor, strides: tuple[int, ...], scale: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(bits)
        ctx.strides, ctx.scale = strides, scale
        kept = unpack(bits, x.numel()).as_strided(x.shape, strides)
        # uint8 becomes floating point much faster than bool, and apart from the product
        return kept.to(x.dtype).mul_(x).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (bits,) = ctx.saved_tensors
        return _ScaleKept.apply(grad, bits, ctx.strides, ctx.scale), None, None, None
