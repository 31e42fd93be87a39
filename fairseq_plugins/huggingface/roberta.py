"""Masked language models and sentence classifiers: fairseq's RoBERTa with staged attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.project.neural import NeuralProjection
from fairseq_plugins.attention.stages import init_normal

from .configuration import StagedRobertaConfig
from .encoder import Encoder
from .layers import activation
from .model import StagedModel, token_loss
from .stack import Stack


class LMHead(nn.Module):
    """fairseq's ``RobertaLMHead``; ``weight`` (V, C) is the token embeddings unless they are untied."""

    def __init__(self, config: StagedRobertaConfig) -> None:
        super().__init__()
        width = config.encoder_embed_dim
        self.dense, self.layer_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.activation = activation(config.activation_fn)
        self.weight = nn.Parameter(torch.empty(config.vocab_size, width).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.layer_norm(self.activation(self.dense(x))), self.weight) + self.bias


class ClassificationHead(nn.Module):
    """fairseq's ``RobertaClassificationHead``: it reads the first symbol."""

    def __init__(self, config: StagedRobertaConfig) -> None:
        super().__init__()
        width = config.classifier_width or config.encoder_embed_dim
        self.dense = nn.Linear(config.encoder_embed_dim, width)
        self.activation = activation(config.pooler_activation_fn)
        self.dropout = nn.Dropout(config.pooler_dropout)
        self.out_proj = nn.Linear(width, int(config.num_labels or 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.dense(self.dropout(x[:, 0])))
        logits: Tensor = self.out_proj(self.dropout(x))
        return logits


class RobertaEncoder(nn.Module):
    """fairseq's ``RobertaEncoder``; a classifier has no ``lm_head``."""

    def __init__(self, config: StagedRobertaConfig, head: bool) -> None:
        super().__init__()
        self.sentence_encoder = Encoder(Stack.of(config, "encoder", config.max_positions), config.vocab_size)
        self.lm_head = LMHead(config) if head else None


class StagedRobertaModel(StagedModel):
    """Base of the models over fairseq's RoBERTa."""

    config_class = StagedRobertaConfig
    encoder: RobertaEncoder

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.sentence_encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.sentence_encoder.embed_tokens = value

    def embedding_std(self, embedding: nn.Embedding) -> float:
        return 0.02

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """BERT's N(0, 0.02^2)."""
        super()._init_weights(module)
        if type(module) is nn.Linear:
            init_normal(module)

    @torch.no_grad()
    def begin(self, attention: StagedMultiheadAttention) -> None:
        """N(0, 0.02^2) by default, and networks begin as linear maps that are drawn so, as in fairseq's family."""
        choice = attention.projection
        for role in ("q", "k", "v", "out"):
            made = getattr(attention, f"{role}_proj")
            if isinstance(made, nn.Linear) and choice.init != "xavier":
                init_normal(made)
            elif isinstance(choice, NeuralProjection) and choice.begins_as_linear(made):
                choice.begin(role, made, init_normal)


class StagedRobertaForMaskedLM(StagedRobertaModel):
    """A masked language model.

    Examples:
        >>> config = StagedRobertaConfig(encoder_layers=1, encoder_embed_dim=16, vocab_size=9)
        >>> model = StagedRobertaForMaskedLM(config)
        >>> model(torch.tensor([[0, 5, 6, 2]])).logits.shape
        torch.Size([1, 4, 9])
    """

    def __init__(self, config: StagedRobertaConfig) -> None:
        super().__init__(config)
        self.encoder = RobertaEncoder(config, head=True)
        tied = config.tie_word_embeddings
        self.tie({"encoder.lm_head.weight": "encoder.sentence_encoder.embed_tokens.weight"} if tied else {})
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        assert self.encoder.lm_head is not None
        return self.encoder.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Logits (B, T, V) of every position, and the mean loss of labels (B, T), where -100 is not counted."""
        wanted = self.wanted(output_attentions, output_hidden_states)
        x = self.encoder.sentence_encoder(input_ids, attention_mask, inputs_embeds, *wanted)
        logits = self.get_output_embeddings()(x.last_hidden_state)
        loss = None if labels is None else token_loss(logits, labels)
        found = MaskedLMOutput(loss=loss, logits=logits, hidden_states=x.hidden_states, attentions=x.attentions)
        return found if return_dict is not False else found.to_tuple()


class StagedRobertaForSequenceClassification(StagedRobertaModel):
    """A sentence classifier, or a regression with one label."""

    def __init__(self, config: StagedRobertaConfig) -> None:
        super().__init__(config)
        self.encoder = RobertaEncoder(config, head=False)
        self.classifier = ClassificationHead(config)
        self.tie({})
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Logits (B, labels) of every sentence, and the mean loss: squared error if there is one label."""
        wanted = self.wanted(output_attentions, output_hidden_states)
        x = self.encoder.sentence_encoder(input_ids, attention_mask, inputs_embeds, *wanted)
        logits = self.classifier(x.last_hidden_state)
        loss = None
        if labels is not None and self.config.num_labels == 1:
            loss = F.mse_loss(logits.squeeze(-1).float(), labels.float())
        elif labels is not None:
            loss = token_loss(logits, labels)
        hidden, weights = x.hidden_states, x.attentions
        found = SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden, attentions=weights)
        return found if return_dict is not False else found.to_tuple()
