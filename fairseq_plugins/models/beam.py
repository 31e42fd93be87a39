"""What beam search need not do at every step: copy the encoder's output, and keep keys once for every hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fairseq_plugins.attention.decode.reordering import Reordering

EncoderOut = dict[str, list[Tensor]]


class ReorderedEncoderOut(Mapping):
    """What an encoder's ``reorder_encoder_out`` returns, selected when it is read.

    Args:
        select: fairseq's ``reorder_encoder_out``.
        sentences: the encoder's output as it was.
        rows: (R,), the sentence of each row.
    """

    def __init__(self, select: Callable[[EncoderOut, Tensor], EncoderOut], sentences: EncoderOut, rows: Tensor) -> None:
        self.select, self.sentences, self.rows = select, sentences, rows
        self.selected: EncoderOut | None = None

    def reordered(self, new_order: Tensor) -> ReorderedEncoderOut:
        """Row i becomes the former row ``new_order[i]``."""
        return ReorderedEncoderOut(self.select, self.sentences, self.rows.index_select(0, new_order))

    def repeats_sentences(self) -> bool:
        """Whether the rows are so many hypotheses of each sentence, one sentence after the other."""
        number = self.sentences["encoder_out"][0].size(1)
        if self.rows.numel() % number:
            return False
        every = torch.arange(number, device=self.rows.device)
        return torch.equal(self.rows.view(number, -1), every[:, None].expand(number, self.rows.numel() // number))

    def _select(self) -> EncoderOut:
        if self.selected is None:
            # fairseq replaces the states within their list
            states = {"encoder_states": list(self.sentences["encoder_states"])}
            self.selected = self.select({**self.sentences, **states}, self.rows)
        return self.selected

    def __getitem__(self, name: str) -> list[Tensor]:
        return self._select()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._select())

    def __len__(self) -> int:
        return len(self._select())


def encoder_out_to_read(decoder: Any, encoder_out: ReorderedEncoderOut, incremental_state: Any) -> Any:
    """The encoder's output as the decoder's attention needs it: keys once a sentence, and none once they are cached."""
    layer = _attending_layer(decoder)
    if layer is None or layer.encoder_attn is None or decoder.cross_self_attention:
        return encoder_out
    cached = layer.encoder_attn.cached_shape(incremental_state) is not None
    return encoder_out.sentences if cached or encoder_out.repeats_sentences() else encoder_out


def reordering_of(decoder: Any, incremental_state: Any, new_order: Tensor) -> Reordering:
    """``new_order`` for all layers; on a CPU, where the caches use it, with what hypotheses have in common."""
    layer = _attending_layer(decoder)
    shape = None if layer is None else layer.self_attn.cached_shape(incremental_state)
    if shape is None or new_order.device.type != "cpu":
        return Reordering(new_order)
    rows, steps = shape
    kept = decoder.get_incremental_state(incremental_state, "origin")
    every = torch.arange(rows)[:, None]
    origin = every[:, :0] if kept is None else kept["origin"]
    if origin.size(0) != rows or origin.size(1) > steps:  # the past is not as it was left: nothing is known of it
        origin = every[:, :0]
    origin = torch.cat([origin, every.expand(rows, steps - origin.size(1))], dim=1)
    decoder.set_incremental_state(incremental_state, "origin", {"origin": origin.index_select(0, new_order)})
    return Reordering(new_order, origin)


def _attending_layer(decoder: Any) -> Any:
    """The first layer with attention; None where there is none (``--decoder-layers 0``)."""
    layers = decoder.layers.children()  # the list itself would drop some, where LayerDrop is on
    return next((layer for layer in layers if hasattr(layer, "self_attn")), None)
