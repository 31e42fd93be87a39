"""The best shared projection for given attention scores: a start of symmetric and pairwise attention from plain.

Plain attention scores a query x and a key y by ``q(x) k(y)^T``, shared-query attention by ``p(x) S p(y)^T`` with
``p(x) = P x + b`` (Courtois et al. 2024, arXiv 2406.06366; symmetric attention: S = I). Softmax does not see what is
equal for all keys, so of the score only ``x^T A y + c^T y`` counts, with ``A = W_q^T W_k`` and ``c = W_k^T b_q``: the
key's bias has no effect, and the shared bias b is free to meet ``c``. What is minimised is

    |A - P^T S P|^2 + |c - P^T S^T b|^2,

the mean squared error of the scores (about their mean over the keys) on inputs of zero mean and unit covariance. With
P = V^T of orthonormal rows the best S is ``V^T A V`` and the error is ``|A|^2 + |c|^2 - f(V)``,
``f(V) = |V^T A V|^2 + |V^T c|^2``, which is maximised over V.

Shapes: H heads, D width of a head, C model width. Everything is computed in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: singular values below this share of the largest carry no bias: a bias that needs them would be huge
_NEGLIGIBLE = 1e-4
#: far more than the search needs to any useful tolerance
_MOST_STEPS = 2000


class ScoreMaps(NamedTuple):
    """What the scores depend on: query weight (H, D, C) and bias (H, D), key weight (H, D, C)."""

    query_weight: Tensor
    query_bias: Tensor
    key_weight: Tensor


class SharedProjection(NamedTuple):
    """Shared weight P (H, D, C) and bias b (H, D), factors S (H, D, D), and each head's relative error (H)."""

    weight: Tensor
    bias: Tensor
    factors: Tensor
    error: Tensor


class Inputs(NamedTuple):
    """The inputs ``mean + gain * z`` that the scores are fitted on, z of zero mean and unit covariance: both (C)."""

    gain: Tensor
    mean: Tensor


def fit_pairwise(
    maps: ScoreMaps, inputs: Inputs | None = None, starts: int = 3, seed: int = 0, tolerance: float = 1e-5
) -> SharedProjection:
    """P, b and S whose scores are nearest to those of ``maps``.

    The fixed point of ``V <- leading eigenvectors of A V V^T A^T + A^T V V^T A + c c^T`` never lowers f; the best of
    several starts is taken (the leading eigenvectors of ``A A^T + A^T A + c c^T``, and random ones). Of the scale that
    P and S can trade, P gets the RMS of the query weight and S the rest; of the rotations, the one that brings P
    nearest to the query weight.

    Args:
        maps: the scores to meet.
        inputs: what the scores are read on; by default zero mean and unit covariance.
        starts: at how many places the search begins.
        seed: of the random starts.
        tolerance: the search ends when no head's f grows by more than this share of its maximum.
    """
    white = _whitened(maps, inputs)
    form, linear, basis = _restricted(white)
    subspace = torch.matmul(basis, _best_subspace(form, linear, white.query_weight.size(1), starts, seed, tolerance))
    form, linear = _in_basis(white, subspace)
    rotation = _nearest_rotation(subspace.transpose(1, 2), white.query_weight)
    fitted = SharedProjection(
        weight=torch.matmul(rotation, subspace.transpose(1, 2)),
        bias=_apply(rotation, _apply(_inverse(form.transpose(1, 2)), linear)),
        factors=rotation @ form @ rotation.transpose(1, 2),
        error=torch.empty(0),
    )
    return _finished(fitted, maps, white, inputs, rescale=True)


def fit_symmetric(maps: ScoreMaps, inputs: Inputs | None = None) -> SharedProjection:
    """P and b whose scores are nearest to those of ``maps`` with S = I.

    P^T P is the positive part of A's symmetric part, cut to its D largest eigenvalues, which is optimal for A; b is
    then the best for c. P is rotated to be nearest to the query weight.
    """
    white = _whitened(maps, inputs)
    form, _, basis = _restricted(white)
    width = white.query_weight.size(1)
    values, vectors = torch.linalg.eigh((form + form.transpose(1, 2)) / 2)
    roots = values[:, -width:].clamp(min=0).sqrt()
    weight = torch.matmul(basis, vectors[:, :, -width:] * roots[:, None]).transpose(1, 2)
    weight = torch.matmul(_nearest_rotation(weight, white.query_weight), weight)
    linear = _apply(white.key_weight.transpose(1, 2), white.query_bias)
    fitted = SharedProjection(
        weight=weight,
        bias=_apply(_inverse(weight.transpose(1, 2)), linear),
        factors=torch.eye(width, dtype=weight.dtype).expand(len(weight), -1, -1),
        error=torch.empty(0),
    )
    return _finished(fitted, maps, white, inputs, rescale=False)


def _whitened(maps: ScoreMaps, inputs: Inputs | None) -> ScoreMaps:
    """The same scores as functions of z; what the mean adds to the keys is equal for all keys."""
    maps = ScoreMaps(*(tensor.double() for tensor in maps))
    if inputs is None:
        return maps
    bias = maps.query_bias + maps.query_weight @ inputs.mean.double()
    return ScoreMaps(maps.query_weight * inputs.gain.double(), bias, maps.key_weight * inputs.gain.double())


def _restricted(maps: ScoreMaps) -> tuple[Tensor, Tensor, Tensor]:
    """A (H, n, n) and c (H, n) in a basis (H, C, n) of all that queries and keys read, n = min(C, 2 D)."""
    both = torch.cat([maps.query_weight, maps.key_weight], dim=1)
    basis = torch.linalg.qr(both.transpose(1, 2))[0]
    return (*_in_basis(maps, basis), basis)


def _in_basis(maps: ScoreMaps, basis: Tensor) -> tuple[Tensor, Tensor]:
    query, key = torch.matmul(maps.query_weight, basis), torch.matmul(maps.key_weight, basis)
    return query.transpose(1, 2) @ key, _apply(key.transpose(1, 2), maps.query_bias)


def _best_subspace(form: Tensor, linear: Tensor, width: int, starts: int, seed: int, tolerance: float) -> Tensor:
    """V (H, n, D) with orthonormal columns and the largest f found."""
    heads, size, _ = form.shape
    outer = linear[:, :, None] * linear[:, None, :]
    generator = torch.Generator().manual_seed(seed)
    first = _leading(form @ form.transpose(1, 2) + form.transpose(1, 2) @ form + outer, width)
    best, value = _climb(form, linear, first, tolerance)
    for _ in range(starts - 1):
        random = torch.randn(heads, size, width, generator=generator, dtype=form.dtype)
        other, reached = _climb(form, linear, torch.linalg.qr(random)[0], tolerance)
        best = torch.where((reached > value)[:, None, None], other, best)
        value = torch.maximum(value, reached)
    return best


def _climb(form: Tensor, linear: Tensor, subspace: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Iterate until no head's f grows by more than ``tolerance`` of the whole; returns V and f."""
    outer = linear[:, :, None] * linear[:, None, :]
    whole = form.square().sum((1, 2)) + linear.square().sum(1)
    shift = 2 * torch.linalg.matrix_norm(form, 2).square()[:, None, None]
    value = _captured(form, linear, subspace)
    for _ in range(_MOST_STEPS):
        projector = subspace @ subspace.transpose(1, 2)
        gradient = form @ projector @ form.transpose(1, 2) + form.transpose(1, 2) @ projector @ form + outer
        step = _leading(gradient, subspace.size(2))
        reached = _captured(form, linear, step)
        if (reached < value).any():
            # with the shift f is convex in the projector, so that a linear bound cannot overshoot
            safe = _leading(gradient + shift * projector, subspace.size(2))
            step = torch.where((reached < value)[:, None, None], safe, step)
            reached = _captured(form, linear, step)
        grown, subspace, value = reached - value, step, reached
        if (grown <= tolerance * whole).all():
            break
    return subspace, value


def _captured(form: Tensor, linear: Tensor, subspace: Tensor) -> Tensor:
    """f(V) of each head."""
    across = subspace.transpose(1, 2)
    return (across @ form @ subspace).square().sum((1, 2)) + _apply(across, linear).square().sum(1)


def _leading(symmetric: Tensor, count: int) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(symmetric)[1]
    return vectors[:, :, -count:]


def _nearest_rotation(weight: Tensor, target: Tensor) -> Tensor:
    """The orthogonal R (H, D, D) that brings ``R @ weight`` nearest to ``target`` (Procrustes)."""
    left, _, right = torch.linalg.svd(target @ weight.transpose(1, 2))
    return torch.matmul(left, right)


def _inverse(matrix: Tensor) -> Tensor:
    inverse: Tensor = torch.linalg.pinv(matrix, rtol=_NEGLIGIBLE)
    return inverse


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[:, :, None])[:, :, 0]


def _finished(
    fitted: SharedProjection, maps: ScoreMaps, white: ScoreMaps, inputs: Inputs | None, rescale: bool
) -> SharedProjection:
    """Measure the error, go back from z to the inputs, and settle the scale."""
    weight, bias, factors, _ = fitted
    error = relative_error(white, fitted)
    if inputs is not None:
        gain = inputs.gain.double()
        weight = weight * torch.where(gain == 0, torch.zeros_like(gain), 1 / gain)
        bias = bias - weight @ inputs.mean.double()
    if rescale:
        wanted = maps.query_weight.double().square().mean((1, 2)).sqrt()
        scale = wanted / weight.square().mean((1, 2)).sqrt()
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # a head without queries keeps P
        weight, bias = weight * scale[:, None, None], bias * scale[:, None]
        factors = factors / scale.square()[:, None, None]
    return SharedProjection(weight, bias, factors, error)


def relative_error(maps: ScoreMaps, fitted: SharedProjection) -> Tensor:
    """RMS error of each head's scores about their mean over the keys, as a share of their own RMS (H).

    On inputs of zero mean and unit covariance; 0 for a head whose scores do not depend on the key.
    """
    maps = ScoreMaps(*(tensor.double() for tensor in maps))
    weight, bias, factors = (tensor.double() for tensor in fitted[:3])
    keys = torch.matmul(factors, weight)
    queries, wanted = weight.transpose(1, 2), maps.query_weight.transpose(1, 2)
    form, wanted_form = queries @ keys, wanted @ maps.key_weight
    linear = _apply(keys.transpose(1, 2), bias)
    wanted_linear = _apply(maps.key_weight.transpose(1, 2), maps.query_bias)
    wrong = (form - wanted_form).square().sum((1, 2)) + (linear - wanted_linear).square().sum(1)
    whole = wanted_form.square().sum((1, 2)) + wanted_linear.square().sum(1)
    return torch.where(whole > 0, wrong / whole, torch.zeros_like(whole)).sqrt()
