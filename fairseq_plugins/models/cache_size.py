"""What decoding keeps of the past, in bytes a token: counted on the caches themselves, ours and stock fairseq's."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from fairseq_plugins.attention.decode.cache import held_bytes


class CacheSize(NamedTuple):
    """Bytes that the attention of all layers keeps.

    Attributes:
        token: for each token of a hypothesis.
        state: for a hypothesis, however long it is (where a kernel has a recurrent form).
        source_token: for each token of a source sentence, of all its hypotheses together.
    """

    token: float
    state: float
    source_token: float

    def __str__(self) -> str:
        parts = [f"{self.token:,.0f} bytes a token and hypothesis"] if self.token else []
        parts += [f"{self.state:,.0f} bytes a hypothesis of any length"] if self.state else []
        parts += [f"{self.source_token:,.0f} bytes a source token"] if self.source_token else []
        return ", ".join(parts)


class CacheMeter:
    """Watches the first two steps of decoding: what the second adds is the size of a token.

    Args:
        decoder: of fairseq or of the plugin.
    """

    def __init__(self, decoder: Any) -> None:
        attentions = [module for module in decoder.modules() if hasattr(module, "_get_input_buffer")]
        self.cross = [module for module in attentions if module.encoder_decoder_attention]
        self.own = [module for module in attentions if not module.encoder_decoder_attention]
        self.rows: list[float] = []
        self.source_token = 0.0

    def watch(self, incremental_state: Any, rows: int, source_tokens: int) -> None:
        """Called after each step; later ones than the second tell nothing new.

        Args:
            incremental_state: which the step has filled.
            rows: hypotheses in the batch.
            source_tokens: of the batch's source sentences, with their padding; 0 for a language model.
        """
        if len(self.rows) == 2:
            return
        own, cross = (
            sum(held_bytes(module._get_input_buffer(incremental_state)) for module in modules)
            for modules in (self.own, self.cross)
        )
        self.rows.append(own / rows)
        self.source_token = cross / source_tokens if source_tokens else 0.0

    def size(self) -> CacheSize:
        """After two steps."""
        first, second = self.rows
        return CacheSize(second - first, 2 * first - second, self.source_token)


@torch.no_grad()
def cache_size(model: Any, symbols: int) -> CacheSize:
    """The size for a translation or causal language model, which decodes two tokens; it is in evaluation afterwards.

    Args:
        model: with a decoder.
        symbols: of its dictionary.
    """
    model.eval()
    tokens = torch.arange(6).reshape(2, 3) % (symbols - 4) + 4
    encoder_out, source_tokens = {}, 0
    if hasattr(model, "encoder"):
        encoder_out = {"encoder_out": model.encoder(tokens, torch.tensor([3, 3]))}
        source_tokens = tokens.numel()
    meter = CacheMeter(model.decoder)
    past: dict[str, Any] = {}
    for steps in (1, 2):
        model.decoder(tokens[:, :steps], incremental_state=past, **encoder_out)
        meter.watch(past, len(tokens), source_tokens)
    return meter.size()
