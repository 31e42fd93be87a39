"""The rectified score as kernel: flatter than the exponential, and 0 for half of all directions."""

from __future__ import annotations

import torch
from torch import Tensor

from ..masks import AttentionMask
from ..stages import KERNEL, Kernel, scaled_score, scaled_scores
from .weights import at_least_float32, full_precision, normalise


@KERNEL.register("relu")
class ReluKernel(Kernel):
    """``kappa(q, k) = max(0, <q, k> / sqrt(D))``.

    A query whose scores are all 0 or less attends uniformly; see :func:`.weights.normalise`.
    """

    ignores_keys = True
    takes_groups = True

    def kappa(self, q: Tensor, k: Tensor) -> Tensor:
        return scaled_score(q, k).clamp(min=0)

    def weights(self, q: Tensor, k: Tensor, mask: AttentionMask) -> Tensor:
        with full_precision(q):
            scores = mask.biased(scaled_scores(at_least_float32(q), at_least_float32(k)))
        return normalise(torch.relu(scores), mask.allowed(q.size(2), q.device))
