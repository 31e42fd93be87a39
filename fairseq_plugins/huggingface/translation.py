"""Translation models: fairseq's ``transformer`` with staged attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils import ModelOutput

from .cache import StagedCache
from .configuration import SYMBOLS, StagedTranslationConfig
from .decoder import Decoder
from .encoder import Encoder, EncoderOutput
from .model import PAST, GeneratingModel, token_loss
from .stack import Stack


class LastIsEos(LogitsProcessor):
    """A hypothesis of the greatest length ends with ``</s>``, which keeps its own probability, as in fairseq."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.size(1) < self.max_length - 1:
            return scores
        only = torch.full_like(scores, float("-inf"))
        only[:, SYMBOLS["eos_token_id"]] = scores[:, SYMBOLS["eos_token_id"]]
        return only


class StagedForTranslation(GeneratingModel):
    """A translation model.

    Examples:
        >>> config = StagedTranslationConfig(encoder_layers=1, decoder_layers=1, vocab_size=9)
        >>> model = StagedForTranslation(config).eval()
        >>> model(torch.tensor([[5, 6, 2]]), decoder_input_ids=torch.tensor([[2, 7]])).logits.shape
        torch.Size([1, 2, 9])
    """

    config_class = StagedTranslationConfig
    main_input_name = "input_ids"

    def __init__(self, config: StagedTranslationConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(Stack.of(config, "encoder", config.max_source_positions), config.vocab_size)
        self.decoder = Decoder(
            Stack.of(config, "decoder", config.max_target_positions, memory_width=config.encoder_embed_dim),
            config.decoder_vocab_size,
            config.decoder_input_dim,
            config.decoder_output_dim,
            config.decoder_start_symbol == "bos",
            config.output_bias,
        )
        same = {}
        if config.share_all_embeddings:
            source = "encoder.embed_tokens.weight"
            same = {"decoder.embed_tokens.weight": source, "decoder.output_projection.weight": source}
        elif config.share_decoder_input_output_embed:
            same = {"decoder.output_projection.weight": "decoder.embed_tokens.weight"}
        self.tie(same)
        self.post_init()

    def get_encoder(self, *args: Any, **kwargs: Any) -> Encoder:
        return self.encoder

    def get_decoder(self, *args: Any, **kwargs: Any) -> Decoder:
        return self.decoder

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.embed_tokens = value

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Labels (B, T) one to the right, behind the start symbol."""
        start = torch.full_like(labels[:, :1], self.config.decoder_start_token_id)
        shifted = torch.cat([start, labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted.eq(-100), SYMBOLS["pad_token_id"])

    def _get_logits_processor(self, generation_config: Any, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        found: LogitsProcessorList = super()._get_logits_processor(  # type: ignore[misc]
            generation_config, *args, **kwargs
        )
        if generation_config.max_length is not None:
            found.append(LastIsEos(generation_config.max_length))
        return found

    def prepare_inputs_for_generation(self, decoder_input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """What the next step reads: only what the past does not hold."""
        past, seen = self.seen_by(kwargs)
        return {
            "decoder_input_ids": decoder_input_ids[:, seen:],
            "encoder_outputs": kwargs.get("encoder_outputs"),
            "attention_mask": kwargs.get("attention_mask"),
            "decoder_attention_mask": kwargs.get("decoder_attention_mask"),
            "cache": past,
            "use_cache": kwargs.get("use_cache"),
        }

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        cache: StagedCache | None = None,
        past_key_values: StagedCache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Logits (B, T, V) of every target position, and the mean loss of labels (B, T), where -100 is not counted.

        Args:
            encoder_outputs: what the encoder returned for these sources, if it has run.
            decoder_input_ids: (B, T), from the start symbol on (default: labels one to the right).
            cache: the past, as an earlier output holds it; ``past_key_values`` in older versions.
            Others: as in every model of ``transformers``.
        """
        weights, states = self.wanted(output_attentions, output_hidden_states)
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, inputs_embeds, weights, states)
        elif not isinstance(encoder_outputs, ModelOutput):
            encoder_outputs = EncoderOutput(*encoder_outputs)
        memory = encoder_outputs.last_hidden_state
        padding = encoder_outputs.get("padding") if attention_mask is None else ~attention_mask.bool()
        if decoder_input_ids is None and decoder_inputs_embeds is None and labels is not None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        past = self.past_of(cache, past_key_values, use_cache, self.training or labels is not None)
        decoded = self.decoder(
            decoder_input_ids,
            decoder_attention_mask,
            decoder_inputs_embeds,
            memory=memory,
            memory_padding=padding,
            past=past,
            weights=weights,
        )
        logits = self.decoder.logits(decoded.features)
        kept: dict[str, Any] = {PAST: past}
        found = Seq2SeqLMOutput(
            loss=None if labels is None else token_loss(logits, labels),
            logits=logits,
            **kept,
            decoder_hidden_states=decoded.hidden_states if states else None,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=memory,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
        )
        return found if return_dict is not False else found.to_tuple()
