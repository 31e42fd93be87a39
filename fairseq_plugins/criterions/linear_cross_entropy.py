"""Cross-entropy fused with the vocabulary projection, in chunks of rows: no tensor of tokens x vocabulary is held.

The forward pass makes the gradients of a chunk while its log-probabilities are at hand, as the fused linear
cross-entropy of Liger Kernel does (Hsu et al. 2024, arXiv 2410.10989, section 3.2); the smoothing is fairseq's.
Shapes: N rows (tokens), C width of the features, V size of the vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: bytes of a chunk's log-probabilities where the chunk's size is not given, by the kind of device
CHUNK_BYTES = {"cpu": 16 << 20}
CHUNK_BYTES_ELSEWHERE = 256 << 20
#: with fewer rows, adding up the weight's gradient takes more time than the products
LEAST_ROWS = 128


class LinearCrossEntropy(NamedTuple):
    """Sums over the rows: of the loss, of the negative log-likelihood, and of the rows whose target is most probable.

    Only the loss has a gradient; ``correct`` is None unless it was asked for.
    """

    loss: Tensor
    nll_loss: Tensor
    correct: Tensor | None


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float = 0.0,
    chunk_size: int = 0,
    count_correct: bool = False,
) -> LinearCrossEntropy:
    """fairseq's (label-smoothed) cross-entropy of ``features @ weight.T``, summed.

    ``(1 - eps - eps_i) * nll + eps_i * sum_v -log p_v`` with ``eps_i = eps / (V - 1)``
    (``fairseq.criterions.label_smoothed_cross_entropy``). The products are taken in the type that autocast, if it is
    on, gives a matrix product; everything from the log-probabilities on, and the sum of the weight's gradient over the
    chunks, in float32 at least.

    Args:
        features: (N, C).
        weight: (V, C).
        target: (N,), indices into the vocabulary.
        smoothing: eps, 0 for plain cross-entropy.
        chunk_size: rows at a time; 0 chooses by the device.
        count_correct: also count the rows whose target has the largest probability.

    Raises:
        RuntimeError: its gradient is to be differentiated.
    """
    # torch itself says what autocast does here, in every release
    dtype = torch.mm(features[:0], weight[:0].t()).dtype
    loss, nll_loss, correct = _LinearCrossEntropy.apply(
        features,
        weight,
        target,
        smoothing,
        chunk_size or default_chunk_size(weight.size(0), features.device),
        count_correct,
        dtype,
        torch.is_grad_enabled(),
    )
    return LinearCrossEntropy(loss, nll_loss, correct if count_correct else None)


def default_chunk_size(vocabulary: int, device: torch.device) -> int:
    """Rows whose log-probabilities in float32 fill the device's share of bytes, and no fewer than LEAST_ROWS."""
    return max(LEAST_ROWS, CHUNK_BYTES.get(device.type, CHUNK_BYTES_ELSEWHERE) // (4 * vocabulary))


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        target: Tensor,
        smoothing: float,
        chunk_size: int,
        count_correct: bool,
        dtype: torch.dtype,
        needs_gradient: bool,
    ) -> tuple[Tensor, ...]:
        ctx.settings = (smoothing, chunk_size, dtype)
        # float16 would lose small gradients that the loss's scale, known to the backward pass, keeps
        ctx.postponed = dtype == torch.float16
        made = needs_gradient and not ctx.postponed
        chunks = _Chunks(features, weight, target, smoothing, chunk_size, dtype)
        sums = chunks.run(count_correct, needs_gradient=made)
        if made:
            ctx.save_for_backward(chunks.grad_features, chunks.grad_weight)
        elif needs_gradient:
            ctx.save_for_backward(features, weight, target)
        ctx.types = (features.dtype, weight.dtype)
        ctx.mark_non_differentiable(*sums[1:])
        return sums

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():
            raise RuntimeError("the fused cross-entropy has no second derivative: use fairseq's own criterion")
        if ctx.postponed:
            features, weight, target = ctx.saved_tensors
            smoothing, chunk_size, dtype = ctx.settings
            chunks = _Chunks(features, weight, target, smoothing, chunk_size, dtype, scale=grad_loss)
            chunks.run(count_correct=False, needs_gradient=True)
            made = (chunks.grad_features, chunks.grad_weight)
        else:
            made = tuple(gradient * grad_loss for gradient in ctx.saved_tensors)
        gradients = (gradient.to(type_) for gradient, type_ in zip(made, ctx.types))
        return (*gradients, None, None, None, None, None, None)


class _Chunks:
    """A pass over the rows, which leaves ``grad_features`` and ``grad_weight``, times ``scale``, if asked to."""

    def __init__(
        self,
        features: Tensor,
        weight: Tensor,
        target: Tensor,
        smoothing: float,
        chunk_size: int,
        dtype: torch.dtype,
        scale: Tensor | None = None,
    ) -> None:
        self.features, self.weight, self.target = features.to(dtype), weight.to(dtype), target.unsqueeze(1)
        self.per_word = smoothing / (weight.size(0) - 1)
        self.on_target = 1.0 - smoothing - self.per_word
        self.chunk_size, self.scale = chunk_size, scale
        self.wide = torch.promote_types(dtype, torch.float32)

    def run(self, count_correct: bool, needs_gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, negative log-likelihood and number of correct rows."""
        rows = len(self.target)
        if needs_gradient:
            self.grad_features = torch.empty_like(self.features)
            self.grad_weight = torch.zeros_like(self.weight, dtype=self.wide)
        nll = self.target.new_empty(rows, dtype=self.wide)
        smooth = torch.zeros_like(nll)
        correct = self.target.new_zeros(())
        with torch.autocast(self.features.device.type, enabled=False):
            for begin in range(0, rows, self.chunk_size):
                chunk = slice(begin, begin + self.chunk_size)
                target = self.target[chunk]
                logits = torch.mm(self.features[chunk], self.weight.t())
                lprobs = F.log_softmax(logits, dim=-1, dtype=self.wide)
                nll[chunk] = -lprobs.gather(1, target).squeeze(1)
                if self.per_word:
                    smooth[chunk] = -lprobs.sum(dim=-1)
                if count_correct:
                    correct += lprobs.argmax(dim=-1, keepdim=True).eq(target).sum()
                if needs_gradient:
                    self._add_gradients(chunk, target, lprobs)
        nll_loss = nll.sum()
        return self.on_target * nll_loss + self.per_word * smooth.sum(), nll_loss, correct

    def _add_gradients(self, chunk: slice, target: Tensor, lprobs: Tensor) -> None:
        # d loss / d logit_v = p_v - eps_i - (1 - eps - eps_i) [v is the target]; overwrites the log-probabilities
        gradient = lprobs.exp_()
        if self.per_word:
            gradient -= self.per_word
        gradient.scatter_add_(1, target, torch.full_like(target, -self.on_target, dtype=self.wide))
        if self.scale is not None:
            gradient *= self.scale
        gradient = gradient.to(self.features.dtype)
        torch.mm(gradient, self.weight, out=self.grad_features[chunk])
        if gradient.dtype == self.wide:
            self.grad_weight.addmm_(gradient.t(), self.features[chunk])
        else:
            self.grad_weight += torch.mm(gradient.t(), self.features[chunk])
