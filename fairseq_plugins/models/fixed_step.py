"""A step of decoding whose tensors keep their shapes and places: what a CUDA graph can hold.

The ordinary step lengthens its caches, finds its position from their sizes, and looks whether hypotheses change places.
This one has room for all steps from the start, masks what is not written yet, and knows its position as a tensor. It
runs on CPUs, too, where it is tested: on a GPU it is captured once a batch and replayed.

R rows, hypotheses of the same sentences at each step; L steps at most; C the decoder's width; V words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fairseq_plugins.attention.decode.cache import Buffer, make_room
from fairseq_plugins.attention.decode.reordering import Reordering

from .attention import FairseqAttention
from .beam import encoder_out_to_read


class FixedStep:
    """The second step of a decoder and all that follow.

    Args:
        decoder: in evaluation, whose layers' self-attention is staged; nobody reads its attention weights.
        encoder_out: as the decoder takes it; None for a language model.
        state: the incremental state after the first step, of R rows. It is this object's from now on.
        room: L.
    """

    def __init__(self, decoder: Any, encoder_out: Any, state: dict[str, Buffer], rows: int, room: int) -> None:
        self.decoder, self.state = decoder, state
        device = next(decoder.parameters()).device
        self.encoder_out = None if encoder_out is None else encoder_out_to_read(decoder, encoder_out, state)
        self.attentions = [layer.self_attn for layer in decoder.layers.children()]
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        self.positions = _positions(decoder, room, device)
        for attention in self.attentions:
            make_room(attention._get_input_buffer(state), self.position, room)
        self.tokens = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self.rows = torch.arange(rows, device=device)
        self.graph: Any = None
        self.logits: Tensor | None = None

    def __call__(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """What comes after a token.

        Args:
            tokens: (R, 1), the last of each hypothesis.
            rows: (R,): the past of hypothesis i is that of the former hypothesis ``rows[i]``.

        Returns:
            (R, V), which the next call may overwrite.
        """
        self.tokens.copy_(tokens)
        self.rows.copy_(rows)
        if self.tokens.device.type != "cuda":
            return self.run()
        if self.graph is None:
            self._capture()
        self.graph.replay()
        assert self.logits is not None
        return self.logits

    def run(self) -> Tensor:
        """One step from :attr:`tokens` and :attr:`rows`, after which all pasts are where they were before."""
        self.position.add_(1)
        with self._in_place():
            for attention in self.attentions:
                attention.follow(self.state, Reordering(self.rows))
        with self._in_place():
            return self._logits()

    def _logits(self) -> Tensor:
        """As fairseq's decoder, without its look at whether a token is padding: the search goes on from none."""
        decoder, tokens = self.decoder, self.tokens
        if decoder.starts_with_bos:
            tokens = tokens.masked_fill(tokens.eq(decoder.dictionary.eos()), decoder.dictionary.bos())
        x = decoder.embed_scale * decoder.embed_tokens(tokens)
        if decoder.quant_noise is not None:
            x = decoder.quant_noise(x)
        if decoder.project_in_dim is not None:
            x = decoder.project_in_dim(x)
        if self.positions is not None:
            x = x + self.positions.index_select(1, self.position)
        if decoder.layernorm_embedding is not None:
            x = decoder.layernorm_embedding(x)
        x = x.transpose(0, 1)
        out = {"encoder_out": [], "encoder_padding_mask": []} if self.encoder_out is None else self.encoder_out
        states, padding = (next(iter(out[name]), None) for name in ("encoder_out", "encoder_padding_mask"))
        for layer in decoder.layers.children():
            x = layer(x, states, padding, self.state, need_attn=False)[0]
        if decoder.layer_norm is not None:
            x = decoder.layer_norm(x)
        if decoder.project_out_dim is not None:
            x = decoder.project_out_dim(x)
        logits: Tensor = decoder.output_layer(x[0])
        return logits

    @contextlib.contextmanager
    def _in_place(self) -> Iterator[None]:
        """What replaces a tensor of the pasts is copied into that tensor."""
        buffers = [attention._get_input_buffer(self.state) for attention in self.attentions]
        before = [dict(buffer) for buffer in buffers]
        yield
        for buffer, old in zip(buffers, before):
            for name, tensor in old.items():
                if tensor is not None and buffer[name] is not tensor:
                    tensor.copy_(buffer[name])
                    buffer[name] = tensor

    def _capture(self) -> None:
        """Make the graph: torch wants a run before it on another stream, of which nothing may be left."""
        pasts = [tensor for attention in self.attentions for tensor in attention._get_input_buffer(self.state).values()]
        kept = [(tensor, tensor.clone()) for tensor in (*pasts, self.position) if tensor is not None]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.run()
        torch.cuda.current_stream().wait_stream(stream)
        for tensor, former in kept:
            tensor.copy_(former)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logits = self.run()


def fits_fixed_step(decoder: Any) -> bool:
    """Whether a decoder's steps can be of this kind: not where a mixing looks at values on the host."""
    layers = list(decoder.layers.children())
    staged = all(isinstance(getattr(layer, "self_attn", None), FairseqAttention) for layer in layers)
    return staged and not decoder.cross_self_attention and not any(layer.self_attn.mixing.searches for layer in layers)


def _positions(decoder: Any, room: int, device: torch.device) -> Tensor | None:
    """(1, L, C): what each position adds."""
    if decoder.embed_positions is None:
        return None
    words = torch.full((1, room), decoder.padding_idx + 1, device=device)
    positions: Tensor = decoder.embed_positions(words)
    return positions
