"""What the fused criteria share: their options, and the features of a batch with the loss of their projection."""

import logging
from dataclasses import dataclass, field
from typing import Any

from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from .bf16 import bf16_autocast
from .linear_cross_entropy import LinearCrossEntropy, linear_cross_entropy
from .projection import plain_projection

logger = logging.getLogger(__name__)


@dataclass
class FusedOptions(FairseqDataclass):
    """Options of every fused criterion."""

    loss_chunk_size: int = field(
        default=0,
        metadata={"help": "target words whose logits are held at a time; 0 chooses by the vocabulary and the device"},
    )
    autocast_bf16: bool = field(
        default=False,
        metadata={
            "help": "train with matrix products in bfloat16 by autocast, on CPUs too; attention's softmax, the loss, "
            "parameters and the optimizer stay in float32, and so does validation"
        },
    )


class FusedCriterion:
    """Mixed into one of fairseq's criteria: ``forward`` calls :meth:`fused_forward` where the model allows it."""

    training: bool
    padding_idx: int
    sentence_avg: bool

    def set_fused_options(self, loss_chunk_size: int, autocast_bf16: bool) -> None:
        """Keep the options.

        Raises:
            ValueError: the chunk has a negative size.
        """
        if loss_chunk_size < 0:
            raise ValueError(f"--loss-chunk-size {loss_chunk_size}: give a number of words, or 0")
        self.loss_chunk_size, self.autocast_bf16 = loss_chunk_size, autocast_bf16
        self.says_why = True

    def forward(self, model: Any, sample: dict[str, Any], reduce: bool = True) -> tuple[Tensor, Any, dict[str, Any]]:
        """Loss, sample size and logging output, as fairseq's."""
        with bf16_autocast(sample["target"].device, self.autocast_bf16 and self.training):
            weight = plain_projection(model)
            if weight is not None and reduce:
                return self.fused_forward(model, weight, sample)
            if weight is None and self.says_why:
                self.says_why = False
                logger.info("the model does not end in a plain vocabulary projection: the loss is not fused")
            return super().forward(model, sample, reduce)  # type: ignore[misc]

    def fused_forward(self, model: Any, weight: Tensor, sample: dict[str, Any]) -> tuple[Tensor, Any, dict[str, Any]]:
        """:meth:`forward` of a model whose projection is ``weight`` (V, C)."""
        raise NotImplementedError

    def fused_loss(
        self,
        model: Any,
        weight: Tensor,
        sample: dict[str, Any],
        smoothing: float = 0.0,
        prefix: int = 0,
        count_correct: bool = False,
    ) -> tuple[LinearCrossEntropy, int]:
        """The sums over the batch's target words, from the ``prefix``-th of each sentence on, and their number."""
        features = model(**sample["net_input"], features_only=True)[0]
        features, target = features[:, prefix:], sample["target"][:, prefix:]
        words = target.ne(self.padding_idx)
        target = target[words]
        sums = linear_cross_entropy(features[words], weight, target, smoothing, self.loss_chunk_size, count_correct)
        return sums, len(target)

    def log_loss(self, sample: dict[str, Any], loss: Tensor) -> dict[str, Any]:
        """What fairseq's cross-entropies log alike; ``sample_size`` is the gradient's denominator."""
        sentences = sample["target"].size(0)
        return {
            "loss": loss.data,
            "ntokens": sample["ntokens"],
            "nsentences": sentences,
            "sample_size": sentences if self.sentence_avg else sample["ntokens"],
        }
