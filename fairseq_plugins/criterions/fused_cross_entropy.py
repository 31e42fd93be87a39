"""``--criterion fused_cross_entropy``: fairseq's ``cross_entropy``, fused with the vocabulary projection."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from torch import Tensor

from .fused import FusedCriterion, FusedOptions


@dataclass
class FusedCrossEntropyConfig(FusedOptions, CrossEntropyCriterionConfig):
    """The options of ``cross_entropy`` and :class:`.fused.FusedOptions`."""


@register_criterion("fused_cross_entropy", dataclass=FusedCrossEntropyConfig)
class FusedCrossEntropyCriterion(FusedCriterion, CrossEntropyCriterion):
    """fairseq's criterion without logits of all words at once; on other models, fairseq's own."""

    def __init__(self, task: Any, sentence_avg: bool, loss_chunk_size: int = 0, autocast_bf16: bool = False) -> None:
        super().__init__(task, sentence_avg)
        self.set_fused_options(loss_chunk_size, autocast_bf16)

    def fused_forward(self, model: Any, weight: Tensor, sample: dict[str, Any]) -> tuple[Tensor, Any, dict[str, Any]]:
        sums, _ = self.fused_loss(model, weight, sample)
        log = self.log_loss(sample, sums.loss)
        return sums.loss, log["sample_size"], log


# fairseq resumes a training only under the same name of a class; this one may continue the other's, and be continued
FusedCrossEntropyCriterion.__name__ = CrossEntropyCriterion.__name__
