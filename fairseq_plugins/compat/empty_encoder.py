"""Encoders without layers."""

from __future__ import annotations

import types
from typing import Any

from torch import nn

from .registry import mark, marked, repair


@repair("none known")
def empty_encoder() -> bool:
    """``--encoder-layers 0`` ends in ``IndexError``: fairseq 0.12.2 asks the first layer for its fused kernel.

    It needs none: its output is then the embeddings. main, which has no fused kernel, runs such an encoder.
    """
    from fairseq.models.transformer import TransformerEncoderBase as Encoder
    from fairseq.modules import LayerDropModuleList

    init = Encoder.__init__
    if marked(init):
        return True
    if "load_to_BT" not in Encoder.forward_scriptable.__code__.co_names:
        return False

    global _NoDroppedLayers

    class _NoDroppedLayers(_FirstOfNone, LayerDropModuleList):  # type: ignore[no-redef,misc]
        pass

    answering = {nn.ModuleList: _NoLayers, LayerDropModuleList: _NoDroppedLayers}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if not len(self.layers) and type(self.layers) in answering:
            self.layers.__class__ = answering[type(self.layers)]

    Encoder.__init__ = mark(__init__, init)
    return True


class _FirstOfNone:
    """An empty list that, asked for its first layer, answers what the encoder wants to read there."""

    def __getitem__(self: Any, index: Any) -> Any:
        fallback = index == 0 and not len(self)
        return types.SimpleNamespace(load_to_BT=False) if fallback else nn.ModuleList.__getitem__(self, index)


class _NoLayers(_FirstOfNone, nn.ModuleList):
    pass


#: the same of fairseq's own list, which the repair defines: pickle looks for it here
_NoDroppedLayers: Any
