"""A mixture of many values as the same mixture of at most D + 1 of them (Carathéodory's theorem).

Maalouf, Jubran and Feldman, *Fast and Accurate Least-Mean-Squares Solvers*, NeurIPS 2019, algorithms 1 and 2: halve the
keys by reducing the means of groups. G heads (of all sentences), T queries, S keys, D width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def exact_support(v: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Few keys with the mixture of all: ``sum_j beta_j v_{i_j} = sum_i alpha_i v_i``.

    Args:
        v: (G, S, D).
        alpha: (G, T, S), not negative.

    Returns:
        indices (G, T, n) and beta (G, T, n) with n = min(S, D + 1): not negative, of the sum of alpha, 0 where it is 0.
    """
    heads, queries, keys = alpha.shape
    kept = v.size(2) + 1
    with torch.no_grad():
        v = v - v.mean(dim=1, keepdim=True)
        first_key = (torch.arange(heads, device=v.device) * keys).repeat_interleave(queries)[:, None]
        indices, beta = torch.arange(keys, device=v.device).expand(heads * queries, -1), alpha.flatten(0, 1)
        while indices.size(1) > kept:
            size = -(-indices.size(1) // (2 * kept))
            padding = -indices.size(1) % size
            indices = F.pad(indices, (0, padding)).view(len(beta), -1, size)
            beta = F.pad(beta, (0, padding)).view(len(beta), -1, size)
            mass = beta.sum(dim=2)
            shares = beta / mass.masked_fill(mass == 0, 1.0)[:, :, None]
            bags = (indices + first_key[:, :, None]).flatten(0, 1)
            means = F.embedding_bag(bags, v.flatten(0, 1), mode="sum", per_sample_weights=shares.flatten(0, 1))
            mass, groups = reduce_weights(means.view(*mass.shape, -1), mass)
            indices = indices.gather(1, groups[:, :, None].expand(-1, -1, size)).flatten(1)
            shares = shares.gather(1, groups[:, :, None].expand(-1, -1, size))
            beta = (shares * mass[:, :, None]).flatten(1)
        return indices.reshape(heads, queries, -1), beta.reshape(heads, queries, -1)


def reduce_weights(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Move weight among n points until only D + 1 may have any; neither the sum nor the weighted sum changes.

    The directions along which weight may move are an orthonormal basis of the null space of the points, each with a 1
    below; each step follows one as far as a weight reaches 0, and turns the basis so that no other touches that weight.
    No decision rests on a rank, so points may coincide or lie on a line.

    Args:
        points: (N, n, D) with n > D + 1.
        weights: (N, n), not negative; what is 0 stays 0.

    Returns:
        weights (N, D + 1) and the points' indices (N, D + 1).
    """
    count, n, width = points.shape
    rows = torch.arange(count, device=points.device)
    equations = torch.cat([points, points.new_ones(count, n, 1)], dim=2)
    basis = torch.linalg.qr(equations, mode="complete").Q[:, :, width + 1 :]
    weights, gone = weights.clone(), torch.zeros_like(weights, dtype=torch.bool)
    eps = torch.finfo(points.dtype).eps
    while basis.size(2):
        direction, empty = basis[:, :, 0], weights == 0
        # what has no weight is never to get any; a unit vector that sums to 0 has an entry above n^-1.5
        stops = ((direction > eps) | (empty & (direction < -eps))) & ~gone
        step, at = (weights / direction).masked_fill_(~stops, float("inf")).min(dim=1)
        weights = (weights - step[:, None] * direction).clamp_(min=0.0).masked_fill_(empty, 0.0)
        weights[rows, at], gone[rows, at] = 0.0, True
        basis = _without(basis, basis[rows, at])
    weights, indices = weights.masked_fill(gone, -1.0).topk(width + 1, dim=1)
    return weights, indices


def _without(basis: Tensor, row: Tensor) -> Tensor:
    """The vectors of the span of basis (N, n, m) that are 0 at one entry; ``row`` (N, m) is the basis there."""
    reflector = row.clone()
    reflector[:, 0] += torch.copysign(row.norm(dim=1), row[:, 0])
    length: Tensor = reflector.norm(dim=1, keepdim=True)
    reflector = reflector / length
    along = torch.matmul(basis, reflector[:, :, None])
    return basis[:, :, 1:] - 2 * along * reflector[:, None, 1:]
