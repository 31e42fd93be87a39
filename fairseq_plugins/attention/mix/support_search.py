"""A few values whose mixture is near a given mixture of all: the search behind value-aware attention.

Gupta and Berant, *Value-aware Approximate Attention*, EMNLP 2021, arXiv 2103.09857, section 3: among the mixtures of
at most r values, find the one nearest to ``o = sum_i alpha_i v_i``. For 1 < r <= D that is combinatorial, and this is
a search: orthogonal matching pursuit over the simplex, or the fully corrective Frank-Wolfe method of Lacoste-Julien
and Jaggi (*On the Global Linear Convergence of Frank-Wolfe Optimization Variants*, NeurIPS 2015, algorithm 4).

G heads (of all sentences), T queries, S keys, D width of a head, N = G * T.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..largest import largest_one, ranking
from .simplex import ActiveSets, squared_norm
from .value_norm import NORMS, value_sizes

#: entries of one chunk's (queries, keys) matrices unless told otherwise: what caches hold, or what fills a device
CPU_CHUNK, DEVICE_CHUNK = 2**20, 2**26


class Support(NamedTuple):
    """The chosen keys of each query."""

    indices: Tensor  #: (G, T, r)
    weights: Tensor  #: (G, T, r), 0 where fewer keys are needed
    inverse: Tensor  #: (G, T, r, r), :meth:`ActiveSets.inverse_on_simplex`, 0 where ``complete``
    complete: Tensor  #: (G, T) bool: the chosen keys hold all of the weight, and have the weights they had


def value_aware_support(o: Tensor, v: Tensor, alpha: Tensor, r: int, swaps: int = 0, chunk: int = 0) -> Support:
    """At most ``r`` keys a query whose values, mixed, are near ``o``.

    Keys are added one by one, each time the key of largest gain by a line search, after which all weights are
    optimised. Where what is kept after k keys is worse than the k largest weights, renormalised or shifted, or than the
    k keys of largest weight times norm of the value, renormalised (of equal ones the first count; whichever the norm),
    the optimum over their keys replaces it; so no error is above theirs.
    What is kept after k keys does not depend on r; so the error never rises with r. With r = 1 the result is optimal.

    Args:
        o: (G, T, D), the mixtures to approximate.
        v: (G, S, D).
        alpha: (G, T, S), the weights of the mixtures; negative where a key is excluded.
        r: 1 <= r <= S.
        swaps: after each added key, as many times try another key in the place of the one that is missed least.
        chunk: look at about so many queries at a time; 0 = what suits the device. The search holds four matrices of
            the size of a chunk's alpha, and O(chunk * r * (r + D)).
    """
    heads, queries, keys = alpha.shape
    chunk = chunk or max(1024, (CPU_CHUNK if v.device.type == "cpu" else DEVICE_CHUNK) // keys)
    rows, columns = max(1, chunk // queries), min(chunk, queries)
    done: list[Support] = []
    with torch.no_grad():
        for g in range(0, heads, rows):
            head = slice(g, g + rows)
            parts = [
                _Search(o[head, t : t + columns], v[head], alpha[head, t : t + columns]).run(r, swaps)
                for t in range(0, queries, columns)
            ]
            done.append(Support(*(torch.cat(part, dim=1) for part in zip(*parts))))
        return Support(*(torch.cat(part, dim=0) for part in zip(*done)))


class _Search:
    """One chunk; all points are relative to ``o``, so that the point looked for is the nearest to 0."""

    def __init__(self, o: Tensor, v: Tensor, alpha: Tensor) -> None:
        self.alpha, self.sizes = alpha, [value_sizes(v, norm) for norm in NORMS]
        heads, queries, keys = alpha.shape
        centre = v.mean(dim=1, keepdim=True)  # keeps the squares below small when the values share an offset
        self.o, self.v = o - centre, v - centre
        self.flat_o, self.flat_v = self.o.flatten(0, 1), self.v.flatten(0, 1)
        self.first_key = (torch.arange(heads, device=v.device) * keys).repeat_interleave(queries)
        squares = self.v.square().sum(dim=-1)
        size = squares.mean(dim=1, keepdim=True)
        size = size.masked_fill(size == 0, 1.0).expand(heads, queries)
        eps = torch.finfo(v.dtype).eps
        self.rounding = (16 * eps) ** 2 * size.flatten()
        # the values' spread around o
        spread = torch.matmul(alpha.clamp(min=0.0), squares[:, :, None])[..., 0] - self.o.square().sum(dim=-1)
        self.scale = torch.maximum(spread, 64 * eps * size).flatten()
        # squared distances to o; the margin keeps a later division by differences of them away from 0
        self.squares = torch.matmul(self.o, self.v.transpose(1, 2)).mul_(-2).add_(squares[:, None])
        self.squares.add_(self.o.square().sum(dim=-1, keepdim=True)).add_(64 * eps * size[:, :, None])
        self.squares.masked_fill_(alpha < 0, float("inf"))
        self.slope, self.gain = torch.empty_like(self.squares), torch.empty_like(self.squares)

    def run(self, r: int, swaps: int) -> Support:
        """The support of every query of the chunk."""
        sets = ActiveSets.idle(r, self.v.size(2), self.scale, self.rounding)
        largest = _Rival(self.alpha, self.alpha, r, self.v.size(2), shifts=True)
        rivals = [largest]
        for sizes in self.sizes:
            ranks = torch.mul(self.alpha, sizes, out=self.gain)
            rivals.append(_Rival(ranks, self.alpha, r, self.v.size(2), shifts=False))
        near = torch.zeros_like(self.flat_o)
        for k in range(1, r + 1):
            part = sets.narrow(k)
            if k == 1:
                self._add(part, self.squares.argmin(dim=-1).view(-1), torch.ones_like(part.active[0]))
                near = part.nearest()
            else:
                near = self._extend(part, near)
            for rival in rivals:
                rival.take_next(self._points)
                near = self._not_worse_than(rival, part, near)
            for turn in range(swaps if k > 1 else 0):
                near = self._keep_better(part, near, self._swapped(part, turn))
        return self._support(sets, largest)

    def _not_worse_than(self, rival: _Rival, sets: ActiveSets, near: Tensor) -> Tensor:
        """Where the rival is better, the optimum over its keys; returns the mixture (N, D)."""
        rows = (squared_norm(near) > rival.error()).nonzero().view(-1)
        if len(rows) == 0:
            return near
        slots = len(sets.points)
        other = ActiveSets.idle(slots, self.v.size(2), self.scale[rows], self.rounding[rows])
        first_key, flat_o = self.first_key[rows], self.flat_o[rows]
        for number in range(slots):
            index = rival.indices[number, rows]
            points = self.flat_v.index_select(0, index + first_key) - flat_o
            other.put(torch.full_like(index, number), points, index)
        other.activate(torch.zeros_like(rows), torch.ones_like(rows, dtype=torch.bool))
        other.correct_fully(rival.weights[:slots, rows] > 0)
        other_near = other.nearest()
        better = (squared_norm(other_near) < squared_norm(near[rows])).nonzero().view(-1)
        sets.take_over(rows[better], other, better)
        return near.index_copy(0, rows[better], other_near[better])

    def _extend(self, sets: ActiveSets, near: Tensor) -> Tensor:
        """Add the best key where that helps; returns the mixture (N, D), which was ``near``."""
        state = sets.state()
        self._add(sets, *self._best(sets, near))
        extended = sets.nearest()
        worse = squared_norm(extended) > squared_norm(near)  # in exact arithmetic, nowhere
        sets.restore(state, worse)
        return torch.where(worse[:, None], near, extended)

    def _keep_better(self, sets: ActiveSets, near: Tensor, other: ActiveSets) -> Tensor:
        """Take over what is nearer to 0; returns the mixture (N, D), which was ``near``."""
        other_near = other.nearest()
        better = squared_norm(other_near) < squared_norm(near)
        rows = better.nonzero().view(-1)
        sets.take_over(rows, other, rows)
        return torch.where(better[:, None], other_near, near)

    def _add(self, sets: ActiveSets, index: Tensor, where: Tensor) -> None:
        slot = sets.free_slot()
        sets.put(slot, self._points(index), index)
        refused = where & ~sets.activate(slot, where)
        squares, at = self.squares.view(len(index), -1), index[:, None]
        squares.scatter_(1, at, squares.gather(1, at).masked_fill(refused[:, None], float("inf")))

    def _points(self, index: Tensor) -> Tensor:
        return self.flat_v.index_select(0, index + self.first_key) - self.flat_o

    def _best(self, sets: ActiveSets, near: Tensor, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The key (N,) of largest :func:`.simplex.line_search_gain` from ``near`` (N, D), and whether it improves."""
        error = squared_norm(near)
        near, here = near.view_as(self.o), error.view(*self.o.shape[:2], 1)
        level = here + (near * self.o).sum(dim=-1, keepdim=True)
        torch.baddbmm(level, near, self.v.transpose(1, 2), alpha=-1.0, out=self.slope).clamp_(min=0.0)
        torch.add(self.squares, self.slope, alpha=2.0, out=self.gain).sub_(here)
        torch.div(self.slope.square_(), self.gain, out=self.gain)
        if exclude is not None:
            self.gain.scatter_(-1, exclude.view_as(here), 0.0)
        gain, index = largest_one(self.gain)
        return index.view(-1), sets.improves(gain.view(-1), error)

    def _swapped(self, sets: ActiveSets, turn: int) -> ActiveSets:
        """Another key in the place of the one that is missed least, or second least, ... in turn."""
        trial = sets.copy()
        slot = sets.removal_costs().argsort(dim=0)[min(turn, len(sets.points) - 1)]
        trial.drop(slot, sets.active.all(dim=0))
        trial.minimise()
        removed = sets.indices.gather(0, slot[None])[0]
        self._add(trial, *self._best(trial, trial.nearest(), exclude=removed))
        return trial

    def _support(self, sets: ActiveSets, largest: _Rival) -> Support:
        shape = self.alpha.shape[:2]
        complete = (self.alpha > 0).sum(dim=-1) <= len(sets.points)
        all_weight = largest.indices.t().reshape(*shape, -1)
        indices = torch.where(complete[:, :, None], all_weight, sets.indices.t().reshape(*shape, -1))
        weights = sets.weights.t().reshape(*shape, -1).to(self.v.dtype)
        weights = torch.where(complete[:, :, None], largest.weights.t().reshape(*shape, -1), weights)
        inverse = sets.inverse_on_simplex().to(self.v.dtype).permute(2, 0, 1).reshape(*shape, *sets.inverse.shape[:2])
        return Support(indices, weights, inverse.masked_fill(complete[:, :, None, None], 0.0), complete)


class _Rival:
    """What keeps the keys of largest rank, whatever the error: one key more at a time, with the error.

    Args:
        ranks: (G, T, S), above 0 where alpha is.
        alpha: (G, T, S).
        r: how many keys at most.
        width: D.
        shifts: a mixture with the weight that is left spread over the keys counts too.
    """

    def __init__(self, ranks: Tensor, alpha: Tensor, r: int, width: int, *, shifts: bool) -> None:
        indices, self.shifts, self.taken = ranking(ranks, r), shifts, 0
        queries = alpha.size(0) * alpha.size(1)
        self.indices = indices.view(queries, r).t().contiguous()
        self.weights = alpha.gather(-1, indices).clamp_(min=0.0).view(queries, r).t().contiguous()
        self.mass, self.count = alpha.new_zeros(queries, 1), alpha.new_zeros(queries, 1)
        self.weighted, self.plain = alpha.new_zeros(queries, width), alpha.new_zeros(queries, width)

    def take_next(self, points: Callable[[Tensor], Tensor]) -> None:
        """Take the next key; ``points`` maps keys (N,) to their values relative to o (N, D)."""
        weight = self.weights[self.taken][:, None]
        point = points(self.indices[self.taken])
        self.taken += 1
        self.mass += weight
        self.weighted.addcmul_(point, weight)
        if self.shifts:
            weighty = (weight > 0).to(weight.dtype)
            self.count += weighty
            self.plain.addcmul_(point, weighty)

    def error(self) -> Tensor:
        """(N,): the squared distance to o of renormalised weights, or of shifted ones where that is less."""
        error = squared_norm(self.weighted / self.mass.clamp(min=torch.finfo(self.mass.dtype).tiny))
        if not self.shifts:
            return error
        shifted = self.weighted + self.plain * ((1.0 - self.mass) / self.count.clamp(min=1.0))
        return torch.minimum(error, squared_norm(shifted))
