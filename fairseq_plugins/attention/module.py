"""The one attention module: project -> cache -> mask -> compare, normalise, mix -> project out.

Time comes first and masks are as in fairseq, whichever choices the stages hold; what else fairseq asks of attention
stands in :mod:`fairseq_plugins.models.attention`, and the face of ``torch.nn.MultiheadAttention`` in :mod:`.multihead`.
Shapes: T queries, S keys, B batch, C model width, H heads, D = C / H, N heads of keys and values (:mod:`.groups`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .decode.cache import Buffer, KeyValueCache
from .decode.reordering import Reordering
from .groups import for_every_head
from .masks import CAUSAL, AttentionMask
from .project.sharing import check_heads, check_widths, makers_of
from .pruning import PrunableHeads
from .stages import Compatibility, Dropout, Kernel, Mixing, Projection, RecurrentForm, dropped_share, scaled_scores


class StagedMultiheadAttention(PrunableHeads, nn.Module):
    """Multi-head attention whose four stages are choices.

    Args:
        embed_dim, num_heads: C and H; C must be a multiple of H.
        projection, compatibility, kernel, mixing: the choice of each stage.
        kdim, vdim: widths of the attended side (default C).
        dropout: probability of dropping an attention weight, or a module that drops.
        self_attention, encoder_decoder_attention: what the module is used for, as in fairseq.
        right_padded: the caller promises that under a causal mask all padding stands right of the text; padding then
            cannot reach a text position, and the key padding mask is left out of causal self-attention.
        kv_heads: N, which must divide H (default H).

    Raises:
        ValueError: the sizes, or the choices of projection and compatibility, do not fit together.

    Examples:
        >>> config = AttentionConfig(projection="neural", mixing="decoder=top-r", r=4)
        >>> attention = config.build("decoder", embed_dim=16, num_heads=2, self_attention=True)
        >>> x, past = torch.randn(3, 1, 16), {}
        >>> steps = [attention(x[t : t + 1], None, None, buffer=past, need_weights=False)[0] for t in range(3)]
        >>> torch.allclose(torch.cat(steps), attention(x, x, x, attn_mask=CAUSAL)[0], atol=1e-6)
        True
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        projection: Projection,
        compatibility: Compatibility,
        kernel: Kernel,
        mixing: Mixing,
        kdim: int | None = None,
        vdim: int | None = None,
        dropout: float | Dropout = 0.0,
        self_attention: bool = False,
        encoder_decoder_attention: bool = False,
        right_padded: bool = False,
        kv_heads: int | None = None,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is no multiple of the {num_heads} attention heads")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kv_heads = num_heads if kv_heads is None else kv_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.self_attention, self.encoder_decoder_attention = self_attention, encoder_decoder_attention
        self.right_padded = right_padded
        self.beam_size = 1
        self.compatibility, self.kernel, self.mixing = compatibility, kernel, mixing
        self.cache = KeyValueCache()
        self.dropout_module = nn.Dropout(dropout) if isinstance(dropout, (int, float)) else dropout

        self.projection, self.makers = projection, makers_of(projection, compatibility)
        check_heads(self.makers, num_heads, self.kv_heads)
        check_widths(self.makers, {"q": embed_dim, "k": self.kdim, "v": self.vdim})
        # k, v, q, out: fairseq's order of construction, so that a seed gives the same linear model as there
        self.k_proj = self._own_map("k", self.kdim, self.kv_heads)
        self.v_proj = self._own_map("v", self.vdim, self.kv_heads)
        self.q_proj = self._own_map("q", embed_dim, num_heads)
        self.out_proj = projection.build("out", embed_dim, embed_dim)
        self.reset_parameters()

    def _own_map(self, role: str, in_features: int, heads: int) -> nn.Module | None:
        """What makes a role and has its name; None where the role shares another's."""
        return self.projection.build(role, in_features, heads * self.head_dim) if self.makers[role] == role else None

    def map_of(self, role: str) -> nn.Module:
        """What makes ``q``, ``k`` or ``v``, whichever role's map it is."""
        made: nn.Module = getattr(self, f"{self.makers[role]}_proj")
        return made

    def reset_parameters(self) -> None:
        """Draw all projections anew, as ``--attention-init`` says."""
        same_width = self.kdim == self.vdim == self.embed_dim
        for role in ("k", "v", "q", "out"):
            module = getattr(self, f"{role}_proj")
            if module is not None:
                self.projection.reset_parameters(role, module, same_width)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        key_padding_mask: Tensor | None = None,
        buffer: Buffer | None = None,
        need_weights: bool = True,
        static_kv: bool = False,
        attn_mask: Any = None,
        before_softmax: bool = False,
        need_head_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query: (T, B, C).
            key, value: (S, B', kdim / vdim); B' = B, or B / beam where the beams of a sentence share their keys.
                Ignored in self-attention, and with ``static_kv`` once they are cached.
            key_padding_mask: (B', S), true or non-zero = pad.
            buffer: the past of incremental decoding, a dictionary that is empty at first: keys and values are appended.
            need_weights: also return the weights, averaged over the heads.
            static_kv: the keys never change: project them once.
            attn_mask: None, ``CAUSAL``, or (T, S) or (B * H, T, S): see :meth:`AttentionMask.from_fairseq`. Under
                ``CAUSAL`` a step of incremental decoding may be of several tokens: each sees the past and those
                before it.
            before_softmax: return the masked scores (B * H, T, S) and the values (B' * H, S, D) instead.
            need_head_weights: return the weights of each head.

        Returns:
            output (T, B, C), and weights (B, T, S), or (H, B, T, S) for each head, or None. A query without an allowed
            key gets weights 0.
        """
        queries, batch, _ = query.shape
        incremental, buffer = buffer is not None, {} if buffer is None else buffer

        # project, cache
        q = self._split_heads(self.map_of("q")(query))
        if incremental:
            masked = attn_mask is not None and attn_mask is not CAUSAL
            needs_keys = need_weights or need_head_weights or before_softmax or masked
            needs_keys = needs_keys or dropped_share(self.dropout_module) > 0
            recurrent = self._recurrent_form(buffer, needs_keys)
            if recurrent is not None:
                k, v, padding = self._keys_and_values(query, key, value, key_padding_mask, q)
                k, v = self._for_stages(k, v)
                q, k = self.compatibility.fold(q, k)
                out = recurrent.step(buffer, q, k, v, None if padding is None else padding.bool())
                return self._project_out(out), None
        cached = self.cache.load(buffer) if static_kv else None
        if cached is not None:
            k, v, padding = cached
        else:
            k, v, padding = self._keys_and_values(query, key, value, key_padding_mask, q)
            if static_kv:
                self.cache.store(buffer, k, v, padding, hypotheses=batch // k.size(0))
            elif incremental:
                k, v, padding = self.cache.extend(buffer, k, v, padding)

        # mask
        if self.right_padded and attn_mask is CAUSAL:
            padding = None
        sentences, keys = k.size(0), k.size(2)
        if incremental and attn_mask is CAUSAL and queries < keys:
            attn_mask = _behind_the_past(queries, keys, k.device)
        beam = batch // sentences
        mask = AttentionMask.from_fairseq(attn_mask, padding, self.num_heads, (sentences, queries, keys))
        if beam > 1:  # the beams of a sentence are more queries to the same keys
            q, mask = self._beams_to_queries(q, beam), mask.per_beam(beam)

        # compare, normalise, mix
        k, v = self._for_stages(k, v)
        q, k = self.compatibility.fold(q, k)
        if before_softmax:
            values = for_every_head(v, self.num_heads)
            return self._masked_scores(q, k, mask, beam), values.reshape(-1, keys, self.head_dim)
        out, weights = self.mixing.attend(
            self.kernel, q, k, v, mask, self.dropout_module, need_weights or need_head_weights
        )
        if beam > 1:
            out = self._queries_to_beams(out, beam)
            weights = None if weights is None else self._queries_to_beams(weights, beam)

        # project out
        out = self._project_out(out)
        if weights is not None:
            weights = weights.transpose(0, 1)  # (H, B, T, S)
            weights = weights if need_head_weights else weights.mean(dim=0)
        return out, weights

    def _keys_and_values(
        self, query: Tensor, key: Tensor | None, value: Tensor | None, padding: Tensor | None, q: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Projected keys and values (B', N, S, D) and their padding (B', S); q is the projected query."""
        if self.self_attention:
            key = value = query
        elif self.encoder_decoder_attention:
            value = key
        if key is None or value is None:
            raise ValueError("no keys: give key and value, or static_kv with a cache that holds them")
        if self.encoder_decoder_attention and self.beam_size > 1 and key.size(1) == query.size(1):
            # every beam of a sentence brings the same keys: keep one
            key = value = key[:, :: self.beam_size]
            padding = None if padding is None else padding[:: self.beam_size]
        # a shared map of the same text is taken once: nothing changes q or k in place
        k = q if self.makers["k"] == "q" and key is query else self._split_heads(self.map_of("k")(key))
        v = k if self.makers["v"] == self.makers["k"] and value is key else self._split_heads(self.map_of("v")(value))
        return k, v, padding

    def _for_stages(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, N, S, D), with H heads where a stage wants as many as queries have."""
        if all(stage.takes_groups for stage in (self.compatibility, self.kernel, self.mixing)):
            return k, v
        every = for_every_head(k, self.num_heads)
        return every, every if v is k else for_every_head(v, self.num_heads)

    def _recurrent_form(self, buffer: Buffer, needs_keys: bool) -> RecurrentForm | None:
        """What this step of decoding reads instead of the past's keys, or None if it needs them or they are kept."""
        if not self.self_attention or not self.mixing.uses_all_keys or "prev_key" in buffer:
            return None
        recurrent = self.kernel.recurrent()
        if recurrent is not None and needs_keys and buffer:
            raise ValueError(
                "the steps before this one kept no keys: ask for weights, masks or dropout from the first step on"
            )
        return None if needs_keys else recurrent

    def _project_out(self, out: Tensor) -> Tensor:
        """(B, H, T, D) -> (T, B, C)."""
        batch, _, queries, _ = out.shape
        projected: Tensor = self.out_proj(out.permute(2, 0, 1, 3).reshape(queries, batch, self.embed_dim))
        return projected

    def _masked_scores(self, q: Tensor, k: Tensor, mask: AttentionMask, beam: int) -> Tensor:
        """Scores (B * H, T, S) with -inf at excluded keys."""
        scores = mask.apply(scaled_scores(q, k), mask.allowed(q.size(2), q.device))
        scores = self._queries_to_beams(scores, beam)
        return scores.reshape(-1, *scores.shape[2:])

    def _split_heads(self, x: Tensor) -> Tensor:
        """(T, B, H * D) -> (B, H, T, D), and N heads likewise."""
        return x.view(x.size(0), x.size(1), -1, self.head_dim).permute(1, 2, 0, 3)

    def _beams_to_queries(self, q: Tensor, beam: int) -> Tensor:
        """(B, H, T, D) -> (B / beam, H, beam * T, D)."""
        _, heads, queries, width = q.shape
        return q.reshape(-1, beam, heads, queries, width).transpose(1, 2).reshape(-1, heads, beam * queries, width)

    def _queries_to_beams(self, x: Tensor, beam: int) -> Tensor:
        """(B / beam, H, beam * T, D or S) -> (B, H, T, D or S)."""
        _, heads, queries, width = x.shape
        split = x.view(-1, heads, beam, queries // beam, width).transpose(1, 2)
        return split.reshape(-1, heads, queries // beam, width)

    def set_beam_size(self, beam_size: int) -> None:
        """Cross-attention then keeps the keys of each sentence once for its ``beam_size`` hypotheses."""
        self.beam_size = beam_size

    def reorder(self, buffer: Buffer, reordering: Reordering) -> None:
        """Follow beam search: row i of the cache becomes the former row ``reordering.rows[i]``."""
        self.cache.reorder(buffer, reordering)


def _behind_the_past(queries: int, keys: int, device: torch.device) -> Tensor | None:
    """(T, S), True = excluded: the last T of S positions are causal among each other; None where T is 1."""
    if queries == 1:
        return None
    return torch.ones(queries, keys, dtype=torch.bool, device=device).triu(keys - queries + 1)
