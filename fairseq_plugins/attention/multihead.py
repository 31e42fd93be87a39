"""Staged attention in place of ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .config import AttentionConfig
from .masks import CAUSAL


class MultiheadAttention(nn.Module):
    """Drops in for ``torch.nn.MultiheadAttention``: the same arguments, masks, results, and checkpoints.

    With the plain choices it computes what that computes, but for a query that may attend to nothing: there torch
    answers NaN, and this module attends to nothing. Parameters have names of their own; a state of torch's module
    loads where the projections are linear.

    Args:
        embed_dim, num_heads, dropout, kdim, vdim, batch_first: as torch's.
        config: the choices (default: the plain ones); those of the site ``encoder`` are taken.
        bias, add_bias_kv, add_zero_attn: only as here.

    Raises:
        ValueError: torch's module has something that staged attention has not; the message names it.

    Examples:
        >>> attention = MultiheadAttention(16, 2, config=AttentionConfig(kernel="elu1"), batch_first=True)
        >>> x = torch.randn(3, 5, 16)
        >>> out, weights = attention(x, x, x)
        >>> out.shape, weights.shape
        (torch.Size([3, 5, 16]), torch.Size([3, 5, 5]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
        config: AttentionConfig | None = None,
    ) -> None:
        super().__init__()
        for name, given, there in (
            ("bias", bias, True),
            ("add_bias_kv", add_bias_kv, False),
            ("add_zero_attn", add_zero_attn, False),
        ):
            if given != there:
                raise ValueError(f"staged attention has no {name}={given}: leave it out")
        self.embed_dim, self.num_heads, self.batch_first = embed_dim, num_heads, batch_first
        config = config or AttentionConfig()
        self.staged = config.build("encoder", embed_dim, num_heads, kdim=kdim, vdim=vdim, dropout=dropout)
        self.to(device=device, dtype=dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query: (T, B, C), or (B, T, C) with ``batch_first``, or (T, C) without a batch; key and value likewise.
            key_padding_mask: (B, S) or (S,): bool, True = pad, or float, added to the scores.
            need_weights: also return the weights.
            attn_mask: (T, S) or (B * H, T, S): bool, True = excluded, or float, added to the scores.
            average_attn_weights: the weights are means over the heads.
            is_causal: query t sees the keys 0..t; ``attn_mask``, which then says the same, may be left out
                where there are as many keys as queries.

        Returns:
            output, of the query's shape, and weights (B, T, S), or (B, H, T, S) of each head, or None.
        """
        alone = query.dim() == 2
        if alone:
            query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif self.batch_first:
            # one tensor stays one: a projection that queries and keys share is then computed once
            first = query.transpose(0, 1)
            key, value = (first if x is query else x.transpose(0, 1) for x in (key, value))
            query = first
        mask: Any = attn_mask
        if is_causal and (attn_mask is None or query.size(0) == key.size(0)):
            mask = CAUSAL
        if key_padding_mask is not None and key_padding_mask.is_floating_point():
            mask, key_padding_mask = self._added(mask, key_padding_mask, query.size(0)), None
        out, weights = self.staged(
            query,
            key,
            value,
            key_padding_mask,
            need_weights=need_weights,
            attn_mask=mask,
            need_head_weights=need_weights and not average_attn_weights,
        )
        if weights is not None and not average_attn_weights:
            weights = weights.transpose(0, 1)
        if alone:
            return out.squeeze(1), None if weights is None else weights.squeeze(0)
        return out.transpose(0, 1) if self.batch_first else out, weights

    def _added(self, mask: Any, padding: Tensor, queries: int) -> Tensor:
        """One additive mask (B * H, T, S) of an attention mask and additive padding (B, S)."""
        batch, keys = padding.shape
        added = padding[:, None, None, :].expand(batch, self.num_heads, queries, keys).reshape(-1, queries, keys)
        if mask is None:
            return added
        if mask is CAUSAL:
            mask = torch.ones(queries, keys, dtype=torch.bool, device=padding.device).triu(1)
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=padding.dtype).masked_fill(mask, float("-inf"))
        return torch.add(added, mask)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """A state of torch's module has q, k and v in one matrix where their inputs are equally wide."""
        stacked = state_dict.pop(f"{prefix}in_proj_weight", None)
        bias = state_dict.pop(f"{prefix}in_proj_bias", None)
        for number, role in enumerate("qkv"):
            weight = state_dict.pop(f"{prefix}{role}_proj_weight", None)
            if stacked is not None:
                weight = stacked.chunk(3)[number]
            if weight is not None:
                state_dict[f"{prefix}staged.{role}_proj.weight"] = weight
            if bias is not None:
                state_dict[f"{prefix}staged.{role}_proj.bias"] = bias.chunk(3)[number]
        for name in ("weight", "bias"):
            if f"{prefix}out_proj.{name}" in state_dict:
                state_dict[f"{prefix}staged.out_proj.{name}"] = state_dict.pop(f"{prefix}out_proj.{name}")
        super()._load_from_state_dict(state_dict, prefix, *args)
