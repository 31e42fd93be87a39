"""What fairseq asks of an attention module besides attention: caches in one dictionary, quantisation noise, names."""

from __future__ import annotations

from typing import Any

from fairseq.incremental_decoding_utils import with_incremental_state
from fairseq.modules import MultiheadAttention
from fairseq.modules.fairseq_dropout import FairseqDropout
from fairseq.modules.quant_noise import quant_noise
from torch import Tensor, nn

from fairseq_plugins.attention import AttentionConfig, StagedMultiheadAttention
from fairseq_plugins.attention.decode.cache import Buffer
from fairseq_plugins.attention.decode.reordering import Reordering

IncrementalState = dict[str, Buffer]


@with_incremental_state
class FairseqAttention(StagedMultiheadAttention):
    """:class:`StagedMultiheadAttention` by the contract of ``fairseq.modules.MultiheadAttention``.

    Args:
        dropout: probability of dropping an attention weight.
        q_noise, qn_block_size: fairseq's quantisation noise on every linear map.
        Others: see :class:`StagedMultiheadAttention`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        q_noise: float = 0.0,
        qn_block_size: int = 8,
        **kwargs: Any,
    ) -> None:
        drop = FairseqDropout(dropout, module_name="MultiheadAttention")
        super().__init__(embed_dim, num_heads, dropout=drop, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                quant_noise(module, q_noise, qn_block_size)

    def forward(  # type: ignore[override]  # fairseq's name for what holds the past of every module
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        key_padding_mask: Tensor | None = None,
        incremental_state: IncrementalState | None = None,
        need_weights: bool = True,
        static_kv: bool = False,
        attn_mask: Any = None,
        before_softmax: bool = False,
        need_head_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As :meth:`StagedMultiheadAttention.forward`; this module's past stands in ``incremental_state``."""
        buffer = None if incremental_state is None else self._get_input_buffer(incremental_state)
        rest = (need_weights, static_kv, attn_mask, before_softmax, need_head_weights)
        out = super().forward(query, key, value, key_padding_mask, buffer, *rest)
        if incremental_state is not None:
            self._set_input_buffer(incremental_state, buffer)
        return out

    def reorder_incremental_state(self, incremental_state: IncrementalState, new_order: Tensor) -> IncrementalState:
        """Follow beam search: row i of the cache becomes the former row ``new_order[i]``."""
        return self.follow(incremental_state, Reordering(new_order))

    def follow(self, incremental_state: IncrementalState, reordering: Reordering) -> IncrementalState:
        """:meth:`reorder_incremental_state` for a reordering that the caches of all layers follow."""
        buffer = self._get_input_buffer(incremental_state)
        self.reorder(buffer, reordering)
        self._set_input_buffer(incremental_state, buffer)
        return incremental_state

    def cached_shape(self, incremental_state: IncrementalState) -> tuple[int, int] | None:
        """Rows and steps of the cache; None before the first step, or where no keys are kept."""
        k = self._get_input_buffer(incremental_state).get("prev_key")
        return None if k is None else (k.size(0), k.size(2))

    def _get_input_buffer(self, incremental_state: IncrementalState | None) -> Buffer:
        if incremental_state is None:  # the look-up's key would tie a compiled graph to this one module
            return {}
        return self.get_incremental_state(incremental_state, "attn_state") or {}  # type: ignore[operator]

    def _set_input_buffer(self, incremental_state: IncrementalState, buffer: Buffer | None) -> Any:
        return self.set_incremental_state(incremental_state, "attn_state", buffer)  # type: ignore[operator]

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """Checkpoints from before 2019 hold q, k and v in one matrix; split it as fairseq does."""
        MultiheadAttention.upgrade_state_dict_named(self, state_dict, name)


def build_attention(
    config: AttentionConfig, site: str, embed_dim: int, num_heads: int, **kwargs: Any
) -> FairseqAttention:
    """The attention of one site: :meth:`AttentionConfig.build` for fairseq."""
    built = config.build(site, embed_dim, num_heads, FairseqAttention, **kwargs)
    assert isinstance(built, FairseqAttention)
    return built
