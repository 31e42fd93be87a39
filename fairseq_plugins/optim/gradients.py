"""Scaling and clipping all gradients by torch's operations on lists of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def multiply(grads: Iterable[Tensor], factor: Any) -> None:
    """Multiply in place by a number or by a tensor of one."""
    for same in by_device_and_type(grads):
        torch._foreach_mul_(same, factor.to(same[0].device).reshape(()) if torch.is_tensor(factor) else factor)


def clip_norm(
    params: Iterable[nn.Parameter], max_norm: float, aggregate: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """``fairseq.utils.clip_grad_norm_``: clip the gradients to a 2-norm together; returns the norm before.

    Args:
        params: parameters; those with an attribute ``expert`` are clipped and do not count.
        max_norm: 0 does not clip.
        aggregate: makes the norm of all processes from this one's.
    """
    params = list(params)
    counted = [p.grad.detach() for p in params if p.grad is not None and not hasattr(p, "expert")]
    experts = [p.grad.detach() for p in params if p.grad is not None and hasattr(p, "expert")]
    if not counted:
        return params[0].new_tensor(0.0) if params else torch.tensor(0.0)
    total = norm(counted)
    if aggregate is not None:
        total = aggregate(total)
    if max_norm > 0:
        factor = (float(max_norm) / (total + 1e-6)).clamp_(max=1)
        # a look at the factor costs nothing on a CPU and would wait for any other device
        if factor.device.type != "cpu" or factor != 1:
            multiply(counted + experts, factor)
    return total


def norm(grads: Iterable[Tensor]) -> Tensor:
    """The 2-norm of all tensors together, in float32 at least."""
    norms: list[Tensor] = []
    for same in by_device_and_type(grads):
        if same[0].dtype in (torch.float16, torch.bfloat16):
            norms += [torch.linalg.vector_norm(grad, dtype=torch.float32) for grad in same]
        else:
            norms += torch._foreach_norm(same, 2)
    return torch.linalg.vector_norm(torch.stack([one.to(norms[0].device) for one in norms]))


def by_device_and_type(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """The tensors in lists that one call of a list operation takes."""
    lists: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        lists.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return list(lists.values())
