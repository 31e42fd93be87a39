"""Many small least-squares problems over the simplex at once: nearest points of polytopes with few corners.

Wolfe, *Finding the nearest point in a polytope*, Mathematical Programming 11, 1976; its inner loop is that of Lawson
and Hanson, *Solving Least Squares Problems*, 1974, chapter 23.
"""

from __future__ import annotations

import torch
from torch import Tensor


class ActiveSet:
    """N problems ``min ||sum_i beta_i x_i||^2, beta >= 0, sum_i beta_i = 1``, each over the active ones of r slots.

    The active points stay affinely independent and their weights positive, and the weights minimise the norm over the
    affine hull of the active points. N stands last in the small tensors, so that their few rows add up fast.

    Args:
        points: (r, N, D), what the slots hold; written by :meth:`put`.
        scale: (N,), positive, of the size of a squared distance between points.

    Attributes:
        weights: beta (r, N), 0 in idle slots.
        active: (r, N) bool.
        inverse: (r, r, N), of ``scale + <x_i, x_j>`` over the active slots (Wolfe's equation 4.1), 0 elsewhere.
    """

    def __init__(self, points: Tensor, scale: Tensor) -> None:
        slots, count, _ = points.shape
        self.points, self.scale = points, scale
        self.weights = points.new_zeros(slots, count)
        self.active = torch.zeros(slots, count, dtype=torch.bool, device=points.device)
        self.inverse = points.new_zeros(slots, slots, count)
        self.rows = torch.arange(count, device=points.device)
        self.slots = torch.arange(slots, device=points.device)[:, None]

    def narrow(self, slots: int) -> ActiveSet:
        """The same problems with their first ``slots`` slots, in the same memory."""
        part = object.__new__(ActiveSet)
        part.points, part.scale, part.rows = self.points[:slots], self.scale, self.rows
        part.weights, part.active = self.weights[:slots], self.active[:slots]
        part.inverse, part.slots = self.inverse[:slots, :slots], self.slots[:slots]
        return part

    def select(self, rows: Tensor) -> ActiveSet:
        """Copies of some of the problems."""
        part = object.__new__(ActiveSet)
        part.points, part.scale, part.rows = self.points[:, rows], self.scale[rows], self.rows[: len(rows)]
        part.weights, part.active = self.weights[:, rows], self.active[:, rows]
        part.inverse, part.slots = self.inverse[:, :, rows], self.slots
        return part

    def assign(self, rows: Tensor, other: ActiveSet) -> None:
        """Let ``other`` take the place of some of the problems."""
        self.points[:, rows] = other.points
        self.weights[:, rows] = other.weights
        self.active[:, rows] = other.active
        self.inverse[:, :, rows] = other.inverse

    def point(self) -> Tensor:
        """``sum_i beta_i x_i`` (N, D)."""
        return (self.weights[:, :, None] * self.points).sum(dim=0)

    def put(self, slot: Tensor, points: Tensor) -> None:
        """Write points (N, D) into the slots (N,), which must be idle."""
        self.points[slot, self.rows] = points

    def activate(self, slot: Tensor, where: Tensor) -> None:
        """Make an idle slot (N,) of the problems ``where`` (N,) active, and minimise again.

        A point that depends affinely on the active ones up to rounding stays idle.
        """
        point = self.points[slot, self.rows]
        at_slot = self.slots == slot
        cross = (self.points * point).sum(dim=-1) + self.scale
        solved = (self.inverse * cross).sum(dim=1)
        own = point.square().sum(dim=-1) + self.scale
        schur = own - (cross * solved).sum(dim=0)
        where = where & (schur > 64 * torch.finfo(own.dtype).eps * own)
        column = solved - at_slot.to(own.dtype)
        factor = where.to(own.dtype) / schur.masked_fill(~where, 1.0)
        self.inverse.add_((column * factor)[:, None] * column)
        self.active.logical_or_(at_slot & where)
        self.minimise()

    def minimise(self) -> None:
        """Move to the minimum over the affine hull; where a weight would be 0 or less, stop there and drop its point."""
        rows = None
        part = self
        for _ in range(len(self.slots)):
            solved = part.inverse.sum(dim=1)
            target = solved / solved.sum(dim=0)
            falls = part.active & (target <= 0)
            falling = falls.any(dim=0).nonzero()[:, 0]
            part.weights.copy_(target)
