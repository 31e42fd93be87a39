"""``--criterion autocast_masked_lm``: fairseq's ``masked_lm``, trained with matrix products in bfloat16.

Its projection reads the masked words only, so there is little to gain from fusing it with the loss.
"""

from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.masked_lm import MaskedLmConfig, MaskedLmLoss
from torch import Tensor

from .bf16 import bf16_autocast


@register_criterion("autocast_masked_lm", dataclass=MaskedLmConfig)
class AutocastMaskedLmLoss(MaskedLmLoss):
    """The loss, parameters, the optimizer and validation stay in float32."""

    autocast_bf16 = True

    def forward(self, model: Any, sample: dict[str, Any], reduce: bool = True) -> tuple[Tensor, Any, dict[str, Any]]:
        """Loss, number of masked words and logging output, as fairseq's."""
        with bf16_autocast(sample["target"].device, self.autocast_bf16 and self.training):
            return super().forward(model, sample, reduce)


# fairseq resumes a training only under the same name of a class; this one may continue the other's, and be continued
AutocastMaskedLmLoss.__name__ = MaskedLmLoss.__name__
