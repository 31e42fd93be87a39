"""Attention without some of its heads, by the methods that fairseq's trainer calls for RoBERTa's ``AdaPruning``.

H heads of width D; C is the model's width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .stages import Compatibility, Mixing, Projection


class PrunableHeads:
    """Mixed into attention: what belongs to a head, how large it is, and its removal.

    Queries, keys and values of a head are D rows of their linear map, or of the last one of their network: what is
    before it serves all heads and stays. A projection that several of them share counts once. A head's compatibility
    (pairwise factors) belongs to it too, and D columns of the output's first linear map go with it, but do not count.
    """

    if TYPE_CHECKING:  # torch.jit.trace reads annotations of modules, and not these
        num_heads: int
        kv_heads: int
        head_dim: int
        embed_dim: int
        q_proj: nn.Module | None
        k_proj: nn.Module | None
        v_proj: nn.Module | None
        out_proj: nn.Module
        projection: Projection
        compatibility: Compatibility
        mixing: Mixing

    def head_sizes(self) -> Tensor:
        """(H,), the sum of the absolute values of each head's parameters: what makes its q, k and v, and S.

        Keys and values that heads share are counted for each of them.
        """
        owned = [(parameter, self.num_heads) for parameter in self.compatibility.parameters()]
        for linear in self._head_maps():
            owned += [(parameter, linear.out_features // self.head_dim) for parameter in linear.parameters()]
        sums = [
            parameter.reshape(heads, -1).abs().sum(dim=1).repeat_interleave(self.num_heads // heads)
            for parameter, heads in owned
        ]
        return torch.stack(sums).sum(dim=0)

    def keep_heads(self, heads: list[int]) -> None:
        """Go on with these heads, in this order; the parameters are new ones, which no optimizer knows.

        Raises:
            ValueError: heads are not alike, and a checkpoint would not say which ones are left.
        """
        self.check_heads_alike()
        rows = torch.cat([torch.arange(head * self.head_dim, (head + 1) * self.head_dim) for head in heads])
        for linear in self._head_maps():
            linear.weight, linear.bias = _taken(linear.weight, rows, 0), _taken(linear.bias, rows, 0)
            linear.out_features = len(rows)
        for out in _maps(self.out_proj, "input"):
            out.weight, out.in_features = _taken(out.weight, rows, 1), len(rows)
        for name, parameter in list(self.compatibility.named_parameters()):
            setattr(self.compatibility, name, _taken(parameter, torch.tensor(heads), 0))
        self.num_heads = self.kv_heads = len(heads)
        self.embed_dim = len(rows)

    def check_heads_alike(self) -> None:
        """Whether heads may be pruned.

        Raises:
            ValueError: they may not.
        """
        reason = ""
        if not self.mixing.treats_heads_alike():
            reason = "--attention-r gives each head its own r: give one for all heads"
        elif self.kv_heads != self.num_heads:
            reason = "by --attention-kv-heads they share keys and values: leave one of the options out"
        elif self.projection.query_holds_input:
            reason = "with this --attention-projection a head reads its own part of the input: choose another"
        if reason:
            raise ValueError(f"--mha-heads-to-keep: a checkpoint does not say which heads are left, and {reason}")

    def _head_maps(self) -> list[nn.Linear]:
        projections = [module for module in (self.q_proj, self.k_proj, self.v_proj) if module is not None]
        return [linear for module in projections for linear in _maps(module, "output")]

    def _get_reserve_head_index(self, num_heads_to_keep: int) -> list[tuple[int, int]]:
        """As fairseq: first and last row of the heads that are largest, the largest first."""
        sizes = self.head_sizes().tolist()
        largest = sorted(range(self.num_heads), key=sizes.__getitem__, reverse=True)[:num_heads_to_keep]
        return [(head * self.head_dim, (head + 1) * self.head_dim) for head in largest]

    def _adaptive_prune_heads(self, reserve_head_index: list[tuple[int, int]]) -> None:
        """As fairseq: :meth:`keep_heads` by their rows."""
        self.keep_heads([start // self.head_dim for start, _ in reserve_head_index])

    def _set_skip_embed_dim_check(self) -> None:
        """fairseq's attention checks its width before each call; this one does not."""


def _maps(module: Any, end: str) -> list[nn.Linear]:
    """The linear maps at the ``input`` or ``output`` of a projection; none where it has no parameters."""
    if isinstance(module, nn.Linear):
        return [module]
    found: list[nn.Linear] = getattr(module, f"{end}_maps")() if any(True for _ in module.parameters()) else []
    return found


def _taken(parameter: Tensor, indices: Tensor, dim: int) -> nn.Parameter:
    taken = parameter.detach().index_select(dim, indices.to(parameter.device))
    return nn.Parameter(taken, requires_grad=parameter.requires_grad)
