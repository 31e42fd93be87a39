"""The past of incremental decoding: keys, values and their padding, as fairseq keeps them in ``incremental_state``.

B sentences, H heads, S keys so far, D width of a head.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

import torch
from fairseq.modules import MultiheadAttention
from torch import Tensor

Buffer = Dict[str, Optional[Tensor]]


class KeyValueCache:
    """Grows the keys and values of one attention module by a step, or returns the ones that never change."""

    def extend(
        self, buffer: Buffer, k: Tensor, v: Tensor, key_padding: Optional[Tensor]
    ) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
        """Append k, v (B, H, S', D) and their padding (B, S') to the buffer; returns all of the past with them."""
        past = buffer.get("prev_key")
        if past is not None:
            past_v, past_padding = buffer["prev_value"], buffer.get("prev_key_padding_mask")
            assert past_v is not None
            k = torch.cat([past, k], dim=2)
            v = torch.cat([past_v, v], dim=2)
            if past_padding is not None or key_padding is not None:
                joined = MultiheadAttention._append_prev_key_padding_mask(
                    key_padding, past_padding, batch_size=k.size(0), src_len=k.size(2), static_kv=False
                )
                key_padding = joined.bool()
        self.store(buffer, k, v, key_padding)
        return k, v, key_padding

    def store(self, buffer: Buffer, k: Tensor, v: Tensor, key_padding: Optional[Tensor]) -> None:
        """Keep k, v (B, H, S, D) and padding (B, S) as the whole past."""
        buffer["prev_key"], buffer["prev_value"], buffer["prev_key_padding_mask"] = k, v, key_padding

    def load(self, buffer: Buffer) -> Optional[Tuple[Tensor, Tensor, Optional[Tensor]]]:
        """The past, or None before the first step."""
        k, v = buffer.get("prev_key"), buffer.get("prev_value")
        return None if k is None or v is None else (k, v, buffer.get("prev_key_padding_mask"))

    def reorder(self, buffer: Buffer, new_order: Tensor, beam_size: int) -> None:
        """Select the hypotheses ``new_order`` in a buffer whose rows are shared by ``beam_size`` hypotheses each."""
        k = buffer.get("prev_key")
        if beam_size > 1 and k is not None:
            if k.size(0) * beam_size == new_order.size(0):
                return  # a hypothesis never moves to another sentence, so shared rows stay where they are
            if k.size(0) != new_order.size(0):
                new_order = torch.div(new_order.view(-1, beam_size)[:, 0], beam_size, rounding_mode="floor")
        for name, tensor in buffer.items():
            if tensor is not None:
                buffer[name] = tensor.index_select(0, new_order)
