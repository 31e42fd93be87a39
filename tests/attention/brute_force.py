"""Oracle of sparse mixing: the best mixture of at most r values, by trying every set of keys."""

from itertools import combinations

import torch


def best_errors(o, values, r):
    """``min ||o - sum_i beta_i v_i||`` over at most 1, 2, ..., r keys: a list of r tensors (N,).

    o (N, D), values (N, S, D), float64, in general position. Over supports of one size the optimum has all weights
    above 0, or it is the optimum of a smaller support; so solutions over affine hulls are enough.
    """
    points, best, errors = values - o[:, None], None, []
    for size in range(1, r + 1):
        for keys in combinations(range(values.size(1)), size):
            x = points[:, list(keys)]
            beta = affine_weights(x)
            error = (beta[:, None] @ x)[:, 0].norm(dim=1)
            error = error.masked_fill((beta < 0).any(dim=1), float("inf"))
            best = error if best is None else torch.minimum(best, error)
        errors.append(best)
    return errors


def affine_weights(x):
    """``argmin ||sum_i beta_i x_i||, sum_i beta_i = 1`` of x (N, n, D), by the equations of Lagrange: (N, n)."""
    count, size, _ = x.shape
    system = torch.zeros(count, size + 1, size + 1, dtype=x.dtype)
    system[:, :size, :size] = x @ x.transpose(1, 2)
    system[:, :size, size] = system[:, size, :size] = 1
    right = torch.zeros(count, size + 1, 1, dtype=x.dtype)
    right[:, size] = 1
    return torch.linalg.solve(system, right)[:, :size, 0]


def random_weights(kind, *shape):
    """Distributions over the last dimension: ``skewed``, ``flat``, all ``equal``, or ``zeros`` (a third of them)."""
    scores = torch.randn(*shape, dtype=torch.float64)
    if kind == "zeros":
        scores[..., ::3] = float("-inf")
    return torch.softmax({"equal": 0.0, "flat": 0.01}.get(kind, 2.0) * scores, dim=-1)
