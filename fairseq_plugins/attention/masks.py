"""The one place where fairseq's and torch's mask conventions become one.

B batch, H heads, T queries, S keys.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Causal:
    """Stands where fairseq passes a dense triangle: query t sees the keys 0..t.

    Examples:
        >>> attention = AttentionConfig().build("decoder", embed_dim=16, num_heads=2, self_attention=True)
        >>> x = torch.randn(3, 1, 16)
        >>> _, weights = attention(x, x, x, attn_mask=CAUSAL)
        >>> weights[0, 0]
        tensor([1., 0., 0.], grad_fn=<SelectBackward0>)
    """

    def __repr__(self) -> str:
        return "CAUSAL"

    def __reduce__(self) -> str:
        return "CAUSAL"  # copies and pickles stay the one object


CAUSAL = _Causal()

#: fairseq writes "masked" as -1e4 (half precision), -1e8 or -inf into additive masks
MASKED_BELOW = -1e4


class AttentionMask:
    """Which keys each query may attend to.

    Args:
        causal: query t sees the keys 0..t (needs T == S).
        key_padding: (B, S) bool, True = pad; excluded for every query.
        bias: added to the scores, broadcastable to (B, H, T, S); -inf excludes a key.

    Examples:
        >>> AttentionMask(causal=True, key_padding=torch.tensor([[True, False, False]])).allowed(3, "cpu").int()
        tensor([[[[0, 0, 0],
                  [0, 1, 0],
                  [0, 1, 1]]]], dtype=torch.int32)
    """

    def __init__(self, causal: bool = False, key_padding: Tensor | None = None, bias: Tensor | None = None) -> None:
        self.causal, self.key_padding, self.bias = causal, key_padding, bias

    @classmethod
    def from_fairseq(
        cls, attn_mask: Any, key_padding_mask: Tensor | None, num_heads: int, shape: tuple[int, int, int]
    ) -> AttentionMask:
        """From the two masks of fairseq's contract.

        Args:
            attn_mask: None, :data:`CAUSAL`, or a tensor (T, S) or (B * H, T, S): bool with True = excluded, or float,
                added to the scores, with fairseq's large negative constants read as "excluded".
            key_padding_mask: None or (B, S), true or non-zero = pad.
            num_heads: H.
            shape: B, T, S.

        Raises:
            ValueError: a mask has another shape.
        """
        batch, queries, keys = shape
        if key_padding_mask is not None:
            if tuple(key_padding_mask.shape) != (batch, keys):
                raise ValueError(f"key_padding_mask is {tuple(key_padding_mask.shape)}, expected {(batch, keys)}")
            key_padding_mask = key_padding_mask.bool()
        if attn_mask is None:
            return cls(key_padding=key_padding_mask)
        if attn_mask is CAUSAL:
            if queries != keys:
                raise ValueError(f"a causal mask needs as many queries as keys, not {queries} and {keys}")
            return cls(causal=True, key_padding=key_padding_mask)
        if attn_mask.dim() == 3 and attn_mask.size(0) == batch * num_heads:
            attn_mask = attn_mask.view(batch, num_heads, *attn_mask.shape[1:])
        elif attn_mask.dim() != 2:
            raise ValueError(f"attn_mask is {tuple(attn_mask.shape)}, expected (T, S) or (B * H, T, S)")
        if tuple(attn_mask.shape[-2:]) != (queries, keys):
            raise ValueError(f"attn_mask is {tuple(attn_mask.shape)}, expected its last two to be {(queries, keys)}")
        if attn_mask.is_floating_point():
            bias = attn_mask.masked_fill(attn_mask <= MASKED_BELOW, float("-inf"))
        else:
            bias = torch.zeros(attn_mask.shape, device=attn_mask.device).masked_fill(attn_mask.bool(), float("-inf"))
        return cls(key_padding=key_padding_mask, bias=bias)

    def per_beam(self, beam: int) -> AttentionMask:
        """For ``beam`` queries side by side that share their keys: T becomes beam * T."""
        if self.causal or (self.bias is not None and self.bias.dim() != 2):
            raise ValueError("keys shared by the beams of a sentence take no causal or per-sentence attn_mask")
        return AttentionMask(
            key_padding=self.key_padding, bias=None if self.bias is None else self.bias.repeat(beam, 1)
        )

    def allowed(self, queries: int, device: torch.device | str) -> Tensor | None:
        """Bool, broadcastable to (B, H, T, S), True = may be attended to; None = all."""
        allowed = None
        if self.key_padding is not None:
            allowed = ~self.key_padding[:, None, None, :]
        if self.causal:
            triangle = torch.ones(queries, queries, dtype=torch.bool, device=device).tril()
            allowed = triangle if allowed is None else allowed & triangle
        if self.bias is not None:
            finite = self.bias > float("-inf")
            allowed = finite if allowed is None else allowed & finite
        return allowed

    def finite_bias(self, dtype: torch.dtype) -> Tensor | None:
        """The finite part of the bias, 0 where a key is excluded."""
        if self.bias is None:
            return None
        return self.bias.masked_fill(self.bias == float("-inf"), 0.0).to(dtype)

    def apply(self, scores: Tensor, allowed: Tensor | None) -> Tensor:
        """Scores (B, H, T, S) with the bias added, and -inf where ``allowed`` (None = everywhere) is false."""
        scores = self.biased(scores)
        return scores if allowed is None else scores.masked_fill(~allowed, float("-inf"))

    def biased(self, scores: Tensor) -> Tensor:
        """Scores (B, H, T, S) with the finite part of the bias added."""
        bias = self.finite_bias(scores.dtype)
        return scores if bias is None else scores + bias

    def adds_to_scores(self) -> bool:
        """The bias does more than exclude keys."""
        bias = None if self.bias is None else self.finite_bias(self.bias.dtype)
        return bias is not None and bool(bias.ne(0).any())

    def opened(self, queries: int, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        """``allowed`` with rows that allow nothing opened, and those rows: (allowed, dead).

        A softmax over such a row would be NaN; whatever comes of it is to be set to 0. ``dead`` (broadcastable to
        (B, H, T, 1)) is None where no row can be dead.
        """
        allowed = self.allowed(queries, device)
        if allowed is None or (self.causal and self.key_padding is None and self.bias is None):
            return allowed, None
        dead = ~allowed.any(dim=-1, keepdim=True)
        return allowed | dead, dead
