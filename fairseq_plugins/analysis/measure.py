"""What a model's attention does on text: its entropy, its largest weights, and how far a sparse mixing is from it.

B batch, H heads, T queries, S keys, D width of a head.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.mix.dense import DenseMixing
from fairseq_plugins.attention.options import read_options
from fairseq_plugins.attention.stages import MIXING, Mixing
from fairseq_plugins.errors import UserError

M = TypeVar("M", bound=Mixing)


class Mixes(Protocol):
    """What mixes by a choice that can be exchanged: an attention module."""

    mixing: Any


class Place(NamedTuple):
    """Where an attention module stands in its model."""

    site: str
    layer: int
    layers: int
    module: Mixes


def places(model: Any, sites: Sequence[str] | None = None) -> list[Place]:
    """A model's attention modules in order; ``sites`` (``encoder``, ``decoder``, ``cross``) keeps those only.

    Raises:
        UserError: there is none.
    """
    by_site: dict[str, list[StagedMultiheadAttention]] = {}
    for name, module in model.named_modules():
        if isinstance(module, StagedMultiheadAttention):
            site = "cross" if name.endswith("encoder_attn") else "decoder" if "decoder." in f"{name}." else "encoder"
            by_site.setdefault(site, []).append(module)
    found = [
        Place(site, layer, len(modules), module)
        for site, modules in by_site.items()
        if sites is None or site in sites
        for layer, module in enumerate(modules)
    ]
    if not found:
        raise UserError(f"the model has no attention at {', '.join(sites or [])}; it has: {', '.join(by_site)}")
    return found


@contextmanager
def mixed(found: Sequence[Place], make: Callable[[Place], M]) -> Iterator[list[M]]:
    """The modules mix by what ``make`` returns for them, until the context ends."""
    before = [place.module.mixing for place in found]
    mixings = [make(place) for place in found]
    try:
        for place, mixing in zip(found, mixings):
            mixing.place(place.layer, place.layers)
            place.module.mixing = mixing
        yield mixings
    finally:
        for place, own in zip(found, before):
            place.module.mixing = own


def build_mixing(name: str, r: int, **options: Any) -> Mixing:
    """The mixing ``name`` of r keys; of the other options, as they are on the command line, it takes its own."""
    cls = MIXING[name]
    if cls.Options is None:
        return cls(None)
    return cls(read_options(cls.Options, Namespace(attention_r=str(r), **options)))


class HeadMean:
    """A mean over queries, for each head."""

    def __init__(self) -> None:
        self.total: Any = 0.0
        self.count: Any = 0

    def add(self, per_query: Tensor, counted: Tensor) -> None:
        """Take in (B, H, T) where ``counted`` (B, H, T)."""
        self.total = self.total + torch.where(counted, per_query, torch.zeros_like(per_query)).double().sum(dim=(0, 2))
        self.count = self.count + counted.sum(dim=(0, 2))

    def result(self) -> list[float]:
        """The mean of each head; 0 where nothing counted."""
        return (self.total / self.count.clamp(min=1)).tolist()


class Observer(Mixing):
    """Mixes densely and looks at the weights; subclasses say what they see in :meth:`observe`.

    ``rows`` (B, T), bool, says which queries are text; the driver sets it before each batch.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.dense = DenseMixing(None)
        self.rows: Tensor | None = None

    def mix(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        out, _ = self.dense.mix(weights, v, mask, dropout)
        alive = weights.sum(dim=-1) > 0
        with torch.no_grad():
            self.observe(weights, v, out, mask, alive if self.rows is None else alive & self.rows[:, None, :])
        return out, weights

    def observe(self, weights: Tensor, v: Tensor, out: Tensor, mask: AttentionMask, counted: Tensor) -> None:
        """See weights (B, H, T, S), values (B, H, S, D), the dense output (B, H, T, D), and which count (B, H, T)."""
        raise NotImplementedError


def relative_error(out: Tensor, near: Tensor) -> Tensor:
    """``|o - o'| / |o|`` of outputs (..., D), the dense and another: (...), in float32.

    After Gupta and Berant, *Value-aware Approximate Attention*, section 3.
    """
    length = out.float().norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    return (out.float() - near.float()).norm(dim=-1) / length


class ErrorOfMixing(Observer):
    """The mean over queries of ``|o - o'| / |o|``, o the dense output and o' that of a sparse mixing."""

    def __init__(self, sparse: Mixing) -> None:
        super().__init__()
        self.sparse, self.error = sparse, HeadMean()

    def place(self, layer: int, layers: int) -> None:
        self.sparse.place(layer, layers)

    def observe(self, weights: Tensor, v: Tensor, out: Tensor, mask: AttentionMask, counted: Tensor) -> None:
        near, _ = self.sparse.mix(weights, v, mask, lambda kept: kept)
        self.error.add(relative_error(out, near), counted & (out.norm(dim=-1) > 0))

    def result(self) -> list[float]:
        """The mean error of each head."""
        return self.error.result()


class Weights(Observer):
    """The mean entropy of a head's weights, in nats, and the mean share of the r largest ones for each r."""

    def __init__(self, rs: Sequence[int]) -> None:
        super().__init__()
        self.rs = list(rs)
        self.means = {name: HeadMean() for name in ("entropy", *(f"top {r}" for r in self.rs))}

    def observe(self, weights: Tensor, v: Tensor, out: Tensor, mask: AttentionMask, counted: Tensor) -> None:
        self.means["entropy"].add(-torch.xlogy(weights, weights).sum(dim=-1), counted)
        largest = weights.topk(min(max(self.rs), weights.size(-1)), dim=-1)[0].cumsum(dim=-1)
        for r in self.rs:
            self.means[f"top {r}"].add(largest[..., min(r, weights.size(-1)) - 1], counted)

    def result(self) -> dict[str, list[float]]:
        """``entropy`` and ``top R``: a number for each head."""
        return {name: mean.result() for name, mean in self.means.items()}
