"""What all staged models of ``transformers`` share: how they begin, and which matrices are one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from fairseq_plugins.attention import StagedMultiheadAttention

from .cache import StagedCache
from .configuration import StagedConfig
from .decoder import Decoder

#: what outputs call the past: older versions of transformers have another name for it
PAST = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"


class StagedModel(PreTrainedModel):
    """Base of the models.

    Parameters have fairseq's names. Attention takes torch's fused kernels wherever its choices allow it, whatever
    ``attn_implementation`` says; asked for weights, it computes them.
    """

    config_class = StagedConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["EncoderLayer", "DecoderLayer"]  # noqa: RUF012  as transformers declares it

    def post_init(self) -> None:
        """As ``transformers``; but attention begins as its options say."""
        for module in self.modules():
            if isinstance(module, StagedMultiheadAttention) and not any(p.is_meta for p in module.parameters()):
                self.begin(module)
                for part in module.modules():
                    part._is_hf_initialized = True  # type: ignore[assignment]
        super().post_init()

    def begin(self, attention: StagedMultiheadAttention) -> None:
        """Draw attention's parameters, if what they are built with is not enough."""

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """As fairseq draws them, where no checkpoint has them."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.embedding_std(module))
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
        elif type(module) in (nn.Linear, nn.LayerNorm):
            module.reset_parameters()  # type: ignore[operator]

    def embedding_std(self, embedding: nn.Embedding) -> float:
        """Of a table of embeddings."""
        return float(embedding.embedding_dim**-0.5)

    def tie(self, same: dict[str, str]) -> None:
        """Make parameters one.

        Args:
            same: the name of a parameter -> the name of the one that it is.
        """
        self._tied_weights_keys = same
        self.config.tie_word_embeddings = bool(same)
        self._share(same)

    def tie_weights(self, *args: Any, **kwargs: Any) -> None:
        """As ``transformers``, whose older versions tie an output to an input only."""
        if hasattr(PreTrainedModel, "get_expanded_tied_weights_keys"):
            super().tie_weights(*args, **kwargs)
        else:
            self._share(self._tied_weights_keys or {})

    def _share(self, same: dict[str, str]) -> None:
        for name, source in same.items():
            owner, _, attribute = name.rpartition(".")
            setattr(self.get_submodule(owner), attribute, self.get_parameter(source))

    def wanted(self, attentions: bool | None, hidden_states: bool | None) -> tuple[bool, bool]:
        """What is to be returned, too, by a call's arguments or by the configuration."""
        config = self.config
        return (
            bool(config.output_attentions if attentions is None else attentions),
            bool(config.output_hidden_states if hidden_states is None else hidden_states),
        )


class GeneratingModel(StagedModel, GenerationMixin):
    """Base of the models with a decoder."""

    decoder: Decoder

    def get_output_embeddings(self) -> nn.Module:
        return self.decoder.output_projection

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.decoder.output_projection = new_embeddings

    def seen_by(self, kwargs: dict[str, Any]) -> tuple[StagedCache | None, int]:
        """The past among the arguments of a step of generation, and how many positions it holds."""
        past = kwargs.get("cache") if kwargs.get("cache") is not None else kwargs.get("past_key_values")
        return past, 0 if past is None else past.get_seq_length()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # it knows keys and values only: forward makes its own

    def past_of(self, cache: Any, past_key_values: Any, use_cache: bool | None, training: bool) -> StagedCache | None:
        """The past to go on from and to write to; ``transformers`` called it ``past_key_values`` before 5."""
        past = cache if cache is not None else past_key_values
        if past is None:
            wanted = self.config.use_cache if use_cache is None else use_cache
            return StagedCache() if wanted and not training else None
        if not isinstance(past, StagedCache):
            raise ValueError(f"the past is a {type(past).__name__}: leave it out, and take that of the outputs")
        return past


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits (..., V) and labels (...); -100 is not counted."""
    return nn.functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten().to(logits.device))
