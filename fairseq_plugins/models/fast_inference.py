"""``--fast-inference``: linear maps with packed weights, a faster search, and no attention weights that nobody reads.

oneDNN multiplies in a layout of its own; a map whose weight was brought into it once need not rearrange the weight each
time, which counts where the inputs are few.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_plugins.runtime import processor

logger = logging.getLogger(__name__)


class PackedLinear(nn.Linear):
    """``nn.Linear`` on a CPU with a packed float32 weight: sums in another order, which differ in their last bits."""

    # no annotation: this file's are strings, which torch.jit.trace does not understand in a module's class
    packed = torch.empty(0)

    def pack(self) -> None:
        """Make what :meth:`multiply` reads; the weight is not to be changed afterwards."""
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), None)

    def multiply(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out), both float32."""
        return torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], "")

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or torch.jit.is_tracing():
            return super().forward(input)  # the packed product is not differentiable, and a trace cannot hold it
        return self.multiply(input)


class BFloat16Linear(PackedLinear):
    """Inputs and weight rounded to bfloat16 (8 bits of precision), sums in float32, outputs rounded to bfloat16."""

    rounded = torch.empty(0)

    def pack(self) -> None:
        weight = self.weight.detach().to(torch.bfloat16)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self.rounded = None if self.bias is None else self.bias.detach().to(torch.bfloat16)

    def multiply(self, input: Tensor) -> Tensor:
        rounded = input.to(torch.bfloat16)
        return torch.ops.mkldnn._linear_pointwise(rounded, self.packed, self.rounded, "none", [], "").float()


class Rounded:
    """The last input as 8-bit integers: queries, keys and values are made of the same one."""

    def __init__(self) -> None:
        self.last: Callable[[], Tensor | None] = lambda: None
        self.version = 0
        self.found: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))

    def of(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """(..., C) -> (rows, C) uint8, which are 128 above what they stand for, and the size of each row, (rows, 1)."""
        version = -1 if input.is_inference() else input._version  # that of the former is not known
        if self.last() is not input or version != self.version or version < 0:
            rows = input.reshape(-1, input.size(-1))
            sizes = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12)
            whole = (rows * (127 / sizes)).round_().to(torch.int8).view(torch.uint8).bitwise_xor_(128)
            self.last, self.version, self.found = weakref.ref(input), version, (whole, sizes)
        return self.found


ROUNDED = Rounded()


class Int8Linear(PackedLinear):
    """8-bit integers: the weight with a scale for each output, inputs with one for each row, found when they come.

    So a row's output does not depend on the others of its batch.
    """

    scales = torch.empty(0)
    zeros = torch.empty(0)

    def pack(self) -> None:
        weight = self.weight.detach()
        self.scales = weight.abs().amax(dim=1).clamp_(min=1e-12) / 127
        whole = (weight / self.scales[:, None]).round_().to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self.zeros = torch.zeros(weight.size(0), dtype=torch.int64)

    def multiply(self, input: Tensor) -> Tensor:
        whole, sizes = ROUNDED.of(input)
        product = torch.ops.onednn.qlinear_pointwise(
            whole, 1 / 127, 128, self.packed, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        product = product.mul_(sizes) if self.bias is None else torch.addcmul(self.bias, product, sizes, out=product)
        return product.view(*input.shape[:-1], -1)


#: weights of a map from which on fewer bits save more time than rounding its inputs takes
WORTH = 1 << 17
CLASSES = {"float32": PackedLinear, "bfloat16": BFloat16Linear, "int8": Int8Linear}


def pack_linear_maps(model: nn.Module, weights: str = "float32") -> None:
    """Make every float32 ``nn.Linear`` on a CPU a :class:`PackedLinear`; its weight is not to be changed afterwards.

    Args:
        weights: one of :data:`CLASSES`, for maps of at least :data:`WORTH` weights; smaller ones stay float32.
    """
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu":
            packed: Any = module
            packed.__class__ = CLASSES[weights if module.weight.numel() >= WORTH else "float32"]
            packed.pack()


def weights_to_use(wanted: str, device: str) -> str:
    """``--inference-weights`` where they are fast, and ``float32`` with a warning else."""
    missing = processor.lacks(wanted) if device == "cpu" or wanted == "float32" else "it is for CPUs"
    if missing:
        logger.warning("--inference-weights %s: %s; they stay float32", wanted, missing)
    return "float32" if missing else wanted


def prepare_for_inference(model: Any, cfg: Any) -> None:
    """What ``--fast-inference`` adds to fairseq's ``prepare_for_inference_`` of a model with a decoder."""
    options = vars(model.decoder.cfg)
    if not options.get("fast_inference"):
        return
    model.decoder.returns_attention = bool(getattr(cfg.generation, "print_alignment", None))
    device = next(model.parameters()).device.type
    weights = weights_to_use(str(options.get("inference_weights") or "float32"), device)
    if device == "cpu":
        pack_linear_maps(model, weights)
