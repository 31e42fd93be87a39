"""``--criterion fused_label_smoothed_cross_entropy``: fairseq's ``label_smoothed_cross_entropy``, fused as well."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from torch import Tensor

from .fused import FusedCriterion, FusedOptions


@dataclass
class FusedLabelSmoothedCrossEntropyConfig(FusedOptions, LabelSmoothedCrossEntropyCriterionConfig):
    """The options of ``label_smoothed_cross_entropy`` and :class:`.fused.FusedOptions`."""


@register_criterion("fused_label_smoothed_cross_entropy", dataclass=FusedLabelSmoothedCrossEntropyConfig)
class FusedLabelSmoothedCrossEntropyCriterion(FusedCriterion, LabelSmoothedCrossEntropyCriterion):
    """fairseq's criterion without logits of all words at once; on other models, fairseq's own."""

    def __init__(
        self,
        task: Any,
        sentence_avg: bool,
        label_smoothing: float,
        ignore_prefix_size: int = 0,
        report_accuracy: bool = False,
        loss_chunk_size: int = 0,
        autocast_bf16: bool = False,
    ) -> None:
        super().__init__(task, sentence_avg, label_smoothing, ignore_prefix_size, report_accuracy)
        self.set_fused_options(loss_chunk_size, autocast_bf16)

    def fused_forward(self, model: Any, weight: Tensor, sample: dict[str, Any]) -> tuple[Tensor, Any, dict[str, Any]]:
        sums, words = self.fused_loss(
            model, weight, sample, self.eps, self.ignore_prefix_size, count_correct=self.report_accuracy
        )
        log = self.log_loss(sample, sums.loss)
        log["nll_loss"] = sums.nll_loss.data
        if sums.correct is not None:
            log.update(n_correct=sums.correct.item(), total=words)
        return sums.loss, log["sample_size"], log


# fairseq resumes a training only under the same name of a class; this one may continue the other's, and be continued
FusedLabelSmoothedCrossEntropyCriterion.__name__ = LabelSmoothedCrossEntropyCriterion.__name__
