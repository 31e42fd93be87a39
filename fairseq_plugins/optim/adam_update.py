"""fairseq's update of Adam for many tensors at once: by torch's fused kernel, or operation by operation.

fairseq's denominator is ``sqrt(v) + eps``, torch's ``sqrt(v) / sqrt(1 - beta2^t) + eps``; they agree once torch is
given ``eps / sqrt(1 - beta2^t)``, so all tensors of a call have taken the same number t of steps.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AdamStep:
    """The numbers of one step of Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    ``step`` is t, from 1.
    """

    step: int
    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float

    @property
    def correction1(self) -> float:
        """1 - beta1^t."""
        return 1 - self.beta1**self.step

    @property
    def correction2(self) -> float:
        """1 - beta2^t."""
        return 1 - self.beta2**self.step


def update(numbers: AdamStep, params: list[Tensor], grads: list[Tensor], m: list[Tensor], v: list[Tensor]) -> None:
    """Update parameters and both moments in place; all are of one type, float32 or float64, and on one device."""
    fused = has_fused_kernel(params[0].device.type, params[0].dtype)
    # the kernel walks through the memory of all four alike
    alike = all(len({tensor.stride() for tensor in four}) == 1 for four in zip(params, grads, m, v))
    (fused_update if fused and alike else foreach_update)(numbers, params, grads, m, v)


def fused_update(
    numbers: AdamStep, params: list[Tensor], grads: list[Tensor], m: list[Tensor], v: list[Tensor]
) -> None:
    """:func:`update` in one pass over the memory, equal to fairseq's up to rounding."""
    step = torch.full((), float(numbers.step), device=params[0].device)
    torch._fused_adamw_(
        params,
        grads,
        m,
        v,
        [],
        [step] * len(params),
        lr=numbers.lr,
        beta1=numbers.beta1,
        beta2=numbers.beta2,
        weight_decay=numbers.weight_decay,
        eps=numbers.eps / math.sqrt(numbers.correction2),
        amsgrad=False,
        maximize=False,
    )


def foreach_update(
    numbers: AdamStep, params: list[Tensor], grads: list[Tensor], m: list[Tensor], v: list[Tensor]
) -> None:
    """:func:`update` by the operations of fairseq's loop in their order, so equal to it bit for bit on a CPU."""
    torch._foreach_mul_(m, numbers.beta1)
    torch._foreach_add_(m, grads, alpha=1 - numbers.beta1)
    torch._foreach_mul_(v, numbers.beta2)
    torch._foreach_addcmul_(v, grads, grads, 1 - numbers.beta2)
    denominators = torch._foreach_sqrt(v)
    torch._foreach_add_(denominators, numbers.eps)
    if numbers.weight_decay != 0:
        torch._foreach_add_(params, params, alpha=-numbers.weight_decay * numbers.lr)
    step_size = numbers.lr * math.sqrt(numbers.correction2) / numbers.correction1
    torch._foreach_addcdiv_(params, m, denominators, -step_size)


@functools.cache
def has_fused_kernel(device: str, dtype: torch.dtype) -> bool:
    """Whether torch has the kernel for this kind of device and type."""
    one = [torch.ones(1, device=device, dtype=dtype)]
    numbers = AdamStep(1, lr=0.0, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0)
    try:
        fused_update(numbers, one, *([one[0].clone()] for _ in range(3)))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
