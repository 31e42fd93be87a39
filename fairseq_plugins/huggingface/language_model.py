"""Causal language models: fairseq's ``transformer_lm`` with staged attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from .cache import StagedCache
from .configuration import StagedLanguageModelConfig
from .decoder import Decoder
from .model import PAST, GeneratingModel, token_loss
from .stack import Stack


class StagedForCausalLM(GeneratingModel):
    """A causal language model.

    Examples:
        >>> config = StagedLanguageModelConfig(decoder_layers=1, vocab_size=9, attention_kernel="elu1")
        >>> model = StagedForCausalLM(config).eval()
        >>> model.generate(torch.tensor([[2, 5, 6]]), max_new_tokens=4, do_sample=False).shape
        torch.Size([1, 7])
    """

    config_class = StagedLanguageModelConfig

    def __init__(self, config: StagedLanguageModelConfig) -> None:
        super().__init__(config)
        stack = Stack.of(config, "decoder", config.max_target_positions)
        self.decoder = Decoder(stack, config.vocab_size, config.decoder_input_dim, config.decoder_output_dim)
        shared = {"decoder.output_projection.weight": "decoder.embed_tokens.weight"}
        self.tie(shared if config.share_decoder_input_output_embed else {})
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.decoder.embed_tokens = value

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """What the next step reads: only what the past does not hold."""
        past, seen = self.seen_by(kwargs)
        return {
            "input_ids": input_ids[:, seen:],
            "attention_mask": kwargs.get("attention_mask"),
            "cache": past,
            "use_cache": kwargs.get("use_cache"),
        }

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        cache: StagedCache | None = None,
        past_key_values: StagedCache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int = 0,
    ) -> Any:
        """Logits (B, T, V), and the mean loss of labels (B, T), each the symbol at its own position, -100 apart.

        Args:
            cache: the past, as an earlier output holds it; ``past_key_values`` in older versions.
            attention_mask: (B, past + T), 1 = text.
            logits_to_keep: only the logits of so many last positions (0: all).
            Others: as in every model of ``transformers``.
        """
        weights, states = self.wanted(output_attentions, output_hidden_states)
        past = self.past_of(cache, past_key_values, use_cache, self.training or labels is not None)
        decoded = self.decoder(input_ids, attention_mask, inputs_embeds, past=past, weights=weights)
        logits = self.decoder.logits(decoded.features[:, -logits_to_keep:])
        kept: dict[str, Any] = {PAST: past}
        found = CausalLMOutputWithPast(
            loss=None if labels is None else token_loss(logits[:, :-1], labels[:, 1:]),
            logits=logits,
            **kept,
            hidden_states=decoded.hidden_states if states else None,
            attentions=decoded.attentions,
        )
        return found if return_dict is not False else found.to_tuple()
