"""``--optimizer fused_adam``: fairseq's ``adam``, its gradient scaling and its clipping, for all tensors at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from fairseq.optim.adam import Adam, FairseqAdam
from omegaconf import II
from torch import Tensor, nn

from .adam_update import AdamStep, update
from .gradients import clip_norm, multiply


@dataclass
class FusedAdamConfig(FairseqDataclass):
    """Options of fairseq's ``adam``; the denominator is fairseq's ``sqrt(v) + eps`` too, unlike that of torch."""

    adam_betas: Any = field(default=(0.9, 0.999), metadata={"help": "betas for Adam optimizer"})
    adam_eps: float = field(
        default=1e-8,
        metadata={"help": "epsilon, added to the square root of the second moment before its bias is corrected"},
    )
    weight_decay: float = field(default=0.0, metadata={"help": "weight decay, decoupled from the gradient"})
    lr: list[float] = II("optimization.lr")  # noqa: RUF009


@register_optimizer("fused_adam", dataclass=FusedAdamConfig)
class FusedAdamOptimizer(FairseqAdam):
    """fairseq's Adam up to rounding; a checkpoint of either continues with the other."""

    def __init__(self, cfg: FusedAdamConfig, params: Any) -> None:
        FairseqOptimizer.__init__(self, cfg)
        self._optimizer = FusedAdam(params, **self.optimizer_config)

    def multiply_grads(self, c: Any) -> None:
        multiply([p.grad.data for p in self.params if p.grad is not None], c)

    def clip_grad_norm(self, max_norm: float, aggregate_norm_fn: Callable | None = None) -> Tensor:
        return clip_norm(self.params, max_norm, aggregate_norm_fn)


# fairseq resumes a training only under the same name of a class; this one may continue the other's, and be continued
FusedAdamOptimizer.__name__ = FairseqAdam.__name__


class FusedAdam(Adam):
    """``fairseq.optim.adam.Adam`` with the same state; tensors with as many steps behind them are updated together."""

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> Any:  # type: ignore[override]
        """One step of all parameters with a gradient.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[Any, ...], list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    if p.grad.is_sparse:
                        raise RuntimeError("fused_adam takes no sparse gradients")
                    alike.setdefault((self._count_step(p), p.device, p.dtype), []).append(p)
            for (step, *_), params in alike.items():
                beta1, beta2 = group["betas"]
                numbers = AdamStep(step, group["lr"], beta1, beta2, group["eps"], group["weight_decay"])
                self._update(numbers, params)
        return loss

    def _count_step(self, p: nn.Parameter) -> int:
        """One more step for a parameter, the first of which makes its state."""
        state, wide = self.state[p], torch.promote_types(p.dtype, torch.float32)
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(p, dtype=wide)
            state["exp_avg_sq"] = torch.zeros_like(p, dtype=wide)
        for name in ("exp_avg", "exp_avg_sq"):  # as loaded, they may lie elsewhere
            state[name] = state[name].to(device=p.device, dtype=wide)
        state["step"] += 1
        return state["step"]

    def _update(self, numbers: AdamStep, params: list[nn.Parameter]) -> None:
        m = [self.state[p]["exp_avg"] for p in params]
        v = [self.state[p]["exp_avg_sq"] for p in params]
        wide = m[0].dtype
        copies = [p.detach().to(wide) for p in params]
        update(numbers, copies, [p.grad.detach().to(wide) for p in params], m, v)  # type: ignore[union-attr]
        for p, copy in zip(params, copies):
            if p.dtype != wide:
                p.copy_(copy)
