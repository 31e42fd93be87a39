"""``--fast-inference``: linear maps from weights in oneDNN's own layout, and no attention weights that nobody reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PackedLinear(nn.Linear):
    """``nn.Linear`` on a CPU, whose weight was brought into the layout in which oneDNN multiplies.

    In its own layout a product need not rearrange the weight each time, which counts where the inputs are few. Its sums
    are in another order, so that results differ in their last bits.
    """

    # no annotation: this file's are strings, which torch.jit.trace does not understand in a module's class
    packed = torch.empty(0)

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or torch.jit.is_tracing():
            return super().forward(input)  # the packed product is not differentiable, and a trace cannot hold it
        return torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], "")


def pack_linear_maps(model: nn.Module) -> None:
    """Make every float32 ``nn.Linear`` on a CPU a :class:`PackedLinear`; its weight is not to be changed afterwards."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu":
            module.__class__ = PackedLinear
            module.packed = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), None)


def prepare_for_inference(model: Any, cfg: Any) -> None:
    """What ``--fast-inference`` adds to fairseq's ``prepare_for_inference_`` of a model with a decoder."""
    if not vars(model.decoder.cfg).get("fast_inference"):
        return
    model.decoder.returns_attention = bool(getattr(cfg.generation, "print_alignment", None))
    pack_linear_maps(model)
