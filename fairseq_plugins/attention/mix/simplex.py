"""Many small least-squares problems over simplices at once: the point of a polytope with few corners nearest to 0.

Wolfe, *Finding the nearest point in a polytope*, Mathematical Programming 11, 1976; its minor cycles are the inner loop
of Lawson and Hanson, *Solving Least Squares Problems*, 1974, chapter 23.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ActiveSets(NamedTuple):
    """N problems ``min ||sum_i beta_i x_i||^2, beta >= 0, sum_i beta_i = 1``, each over the active ones of its r slots.

    Active points are affinely independent and their weights positive; the weights are optimal over the affine hull of
    the active points. N stands last in the small tensors, so that sums over slots are sums of long vectors; they have
    double precision, because points that lie close together make them ill-conditioned.
    """

    points: Tensor  #: x (r, N, D), what the slots hold, active or not
    indices: Tensor  #: (r, N), the caller's names of the points
    gram: Tensor  #: (r, r, N), <x_i, x_j>
    weights: Tensor  #: beta (r, N), 0 in idle slots
    active: Tensor  #: (r, N) bool
    inverse: Tensor  #: (r, r, N), of scale + <x_i, x_j> (Wolfe, section 4) over the active slots, 0 elsewhere
    scale: Tensor  #: (N,), positive, of the size of squared distances between points
    rounding: Tensor  #: (N,), a squared norm that is no more than rounding

    @classmethod
    def idle(cls, slots: int, width: int, scale: Tensor, rounding: Tensor) -> ActiveSets:
        """No slot is active, all hold the point 0."""
        points, double = scale.new_zeros(slots, len(scale), width), scale.double()
        indices = torch.zeros(slots, len(scale), dtype=torch.long, device=scale.device)
        weights, square = double.new_zeros(slots, len(scale)), double.new_zeros(slots, slots, len(scale))
        return cls(points, indices, square, weights, weights > 0, square.clone(), double, rounding.double())

    def narrow(self, slots: int) -> ActiveSets:
        """The same problems and memory, with the first ``slots`` slots only."""
        points, indices, gram, weights, active, inverse, *rest = self
        first = slice(slots)
        return ActiveSets(
            points[first],
            indices[first],
            gram[first, first],
            weights[first],
            active[first],
            inverse[first, first],
            *rest,
        )

    def copy(self) -> ActiveSets:
        """The same in memory of its own."""
        return ActiveSets(*(held.clone() for held in self))

    def state(self) -> tuple[Tensor, Tensor, Tensor]:
        """What :meth:`activate` changes, for :meth:`restore`."""
        return self.weights.clone(), self.active.clone(), self.inverse.clone()

    def restore(self, state: tuple[Tensor, Tensor, Tensor], where: Tensor) -> None:
        """Undo what happened since ``state`` was taken, ``where`` (N,)."""
        rows = where.nonzero().view(-1)
        for mine, old in zip((self.weights, self.active, self.inverse), state):
            mine.index_copy_(-1, rows, old.index_select(-1, rows))

    def take_over(self, rows: Tensor, other: ActiveSets, theirs: Tensor) -> None:
        """Let the problems ``theirs`` of ``other`` stand in place of these ``rows``; both (M,) indices."""
        self.points.index_copy_(1, rows, other.points.index_select(1, theirs))
        for mine, its in zip(self[1:6], other[1:6]):
            mine.index_copy_(-1, rows, its.index_select(-1, theirs))

    def nearest(self) -> Tensor:
        """``sum_i beta_i x_i`` (N, D)."""
        weights = self.weights.to(self.points.dtype)[:, :, None]
        near = weights[0] * self.points[0]
        for weight, points in zip(weights[1:], self.points[1:]):
            near.addcmul_(weight, points)
        return near

    def free_slot(self) -> Tensor:
        """(N,): the first idle slot."""
        return self.active.to(self.weights.dtype).min(dim=0).indices

    def put(self, slot: Tensor, points: Tensor, indices: Tensor) -> None:
        """Write points (N, D) and their indices (N,) into the slots (N,), which must be idle."""
        at = slot * len(slot) + torch.arange(len(slot), device=slot.device)
        self.points.view(-1, self.points.size(2)).index_copy_(0, at, points)
        self.indices.view(-1).index_copy_(0, at, indices)
        product = torch.empty_like(points)  # one for all slots, so that it stays in the caches
        products = torch.stack([torch.mul(held, points, out=product).sum(dim=-1) for held in self.points]).double()
        self.gram.scatter_(0, slot.expand(1, len(products), -1), products[None])
        self.gram.scatter_(1, slot.expand(len(products), 1, -1), products[:, None])

    def activate(self, slot: Tensor, where: Tensor) -> Tensor:
        """Let the idle slot (N,) of the problems ``where`` (N,) take part; returns where it then does.

        A point that depends affinely on the active ones, up to rounding, is refused.
        """
        cross = _column(self.gram, slot) + self.scale
        own = cross.gather(0, slot[None])[0]
        solved = (self.inverse * cross).sum(dim=1)
        schur = own - (cross * solved).sum(dim=0)
        # what rounding of the products, and of the inverse, may leave of a 0
        noise = 64 * torch.finfo(self.points.dtype).eps * (own - self.scale) + 1e-11 * own
        where = where & (schur > noise)
        at_slot = self._is(slot)
        column = solved - at_slot.to(own.dtype)
        factor = where.to(own.dtype) / schur.masked_fill(~where, 1.0)
        self.inverse.addcmul_((column * factor)[:, None], column[None])
        self.active.logical_or_(at_slot & where)
        self.minimise()
        return self.active.gather(0, slot[None])[0]

    def drop(self, slot: Tensor, where: Tensor) -> None:
        """Make the slot (N,) of the problems ``where`` (N,) idle; the weights of the others stay as they are."""
        column = _column(self.inverse, slot)
        pivot = column.gather(0, slot[None])[0].masked_fill(~where, 1.0)
        self.inverse.addcmul_((column * (where.to(pivot.dtype) / -pivot))[:, None], column[None])
        gone = self._is(slot) & where
        self.inverse.masked_fill_(gone | gone[:, None], 0.0)
        self.weights.masked_fill_(gone, 0.0)
        self.active.logical_and_(~gone)

    def minimise(self) -> None:
        """Wolfe's minor cycles: towards the affine minimum, dropping the point whose weight is the first to reach 0."""
        for _ in range(len(self.points)):
            solved = self.inverse.sum(dim=1)
            target = solved / solved.sum(dim=0)
            falling = self.active & (target <= 0)
            if not falling.any():
                break
            step, slot = (self.weights / (self.weights - target)).masked_fill_(~falling, 2.0).min(dim=0)
            self.weights.add_(step.clamp(max=1.0) * (target - self.weights))
            self.drop(slot, step <= 1.0)
        self.weights.copy_(target)

    def correct_fully(self, candidates: Tensor) -> None:
        """Activate slots among ``candidates`` (r, N) until none improves: the optimum over them."""
        squares = self.gram.diagonal(dim1=0, dim2=1).t()
        for _ in range(4 * len(self.points)):
            products = (self.gram * self.weights).sum(dim=1)
            error = (products * self.weights).sum(dim=0)
            slope = (error - products).clamp_(min=0.0)
            gain = line_search_gain(slope, squares, error).masked_fill_(self.active | ~candidates, 0.0)
            gain, slot = gain.max(dim=0)
            where = self.improves(gain, error)
            if not where.any():
                break
            refused = where & ~self.activate(slot, where)
            candidates = candidates & ~(self._is(slot) & refused)

    def improves(self, gain: Tensor, error: Tensor) -> Tensor:
        """Whether a gain of squared norm, and the squared norm itself, are more than rounding; all (N,)."""
        return (gain > 8 * torch.finfo(self.points.dtype).eps * error) & (error > self.rounding)

    def removal_costs(self) -> Tensor:
        """(r, N): by how much the squared norm over the affine hull grows without each active point."""
        own = self.inverse_on_simplex().diagonal(dim1=0, dim2=1).t()
        return self.weights.square() / own.clamp(min=torch.finfo(own.dtype).tiny)

    def inverse_on_simplex(self) -> Tensor:
        """(r, r, N): minus the derivative of the weights by a change of ``<x_i, sum_j beta_j x_j>``; rows sum to 0."""
        solved = self.inverse.sum(dim=1)
        return self.inverse - solved[:, None] * (solved / solved.sum(dim=0))

    def _is(self, slot: Tensor) -> Tensor:
        return slot == torch.arange(len(self.points), device=slot.device)[:, None]


def _column(matrices: Tensor, slot: Tensor) -> Tensor:
    """Column ``slot`` (N,) of symmetric matrices (r, r, N): (r, N)."""
    return matrices.gather(0, slot.expand(1, matrices.size(1), -1))[0]


def line_search_gain(slope: Tensor, squares: Tensor, error: Tensor) -> Tensor:
    """By how much the best step from the point y towards a corner x lowers ``||y||^2``.

    The step never passes the corner while y is nearer to 0 than every corner.

    Args:
        slope: ``<y, y - x>``, not negative.
        squares: ``||x||^2``.
        error: ``||y||^2``.
    """
    return slope.square() / (squares + 2 * slope - error).clamp_(min=torch.finfo(error.dtype).tiny)


def squared_norm(x: Tensor) -> Tensor:
    """(..., D) -> (...); not ``x.square().sum()``, which writes a tensor of x's size."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1)
    return norm.square()
