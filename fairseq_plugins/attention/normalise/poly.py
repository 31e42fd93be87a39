"""An even power of the score as kernel: one of the flatter kernels of Gupta & Berant, EMNLP 2021, arXiv 2103.09857."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..masks import AttentionMask
from ..stages import KERNEL, Kernel, scaled_score, scaled_scores
from .weights import at_least_float32, full_precision, normalise


@dataclass
class PolyOptions:
    """Options of ``--attention-kernel poly``."""

    attention_poly_degree: int = field(
        default=2, metadata={"help": "the even power of the score that is the poly kernel"}
    )


@KERNEL.register("poly")
class PolyKernel(Kernel):
    """``kappa(q, k) = (<q, k> / sqrt(D)) ** degree``.

    A query whose scores are all 0 attends uniformly; see :func:`.weights.normalise`.

    Raises:
        ValueError: the degree is odd or below 2.
    """

    Options = PolyOptions
    takes_groups = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.degree = int(options.attention_poly_degree)
        if self.degree < 2 or self.degree % 2:
            raise ValueError(
                f"--attention-poly-degree {self.degree}: an even power of 2 and more keeps weights positive"
            )

    def kappa(self, q: Tensor, k: Tensor) -> Tensor:
        return scaled_score(q, k) ** self.degree

    def weights(self, q: Tensor, k: Tensor, mask: AttentionMask) -> Tensor:
        allowed = mask.allowed(q.size(2), q.device)
        with full_precision(q):
            scores = mask.biased(scaled_scores(at_least_float32(q), at_least_float32(k)))
        if allowed is not None:
            scores = scores.masked_fill(~allowed, 0.0)
        # the weights do not depend on the scores' common scale: with 1 as the largest, no power overflows
        scale = scores.detach().abs().amax(dim=-1, keepdim=True)
        return normalise((scores / scale.masked_fill(scale == 0, 1.0)) ** self.degree, allowed)
