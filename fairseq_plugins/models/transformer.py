"""The ``transformer`` family: fairseq's translation model with staged attention."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from fairseq.models.transformer import TransformerDecoderBase, TransformerEncoderBase, TransformerModel
from omegaconf import OmegaConf
from torch import nn

from fairseq_plugins.attention import CAUSAL
from fairseq_plugins.attention.options import read_options
from fairseq_plugins.criterions.projection import PLAIN_OUTPUT_LAYERS

from .alignment import AlignmentOptions, add_alignment_args, read_alignment
from .attention import FairseqAttention
from .beam import ReorderedEncoderOut, encoder_out_to_read, reordering_of
from .conventions import ConventionOptions, add_convention_args, set_activation, set_positions
from .fast_dropout import set_dropout
from .fast_inference import prepare_for_inference
from .grid import as_namespace, give_back, register_family
from .layers import TransformerDecoderLayer, TransformerEncoderLayer, place_layers, wrap_layer
from .options import add_model_args, layer_config
from .scales import ignore_scales


class TransformerEncoder(TransformerEncoderBase):
    """fairseq's encoder over :class:`.layers.TransformerEncoderLayer`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        place_layers(self.layers)
        set_positions(self)
        set_dropout(self)

    def build_encoder_layer(self, cfg: Any) -> Any:
        layer = TransformerEncoderLayer(cfg, return_fc=self.return_fc)
        set_activation(layer, cfg.activation_fn)
        return wrap_layer(layer, cfg)

    def reorder_encoder_out(self, encoder_out: Any, new_order: Any) -> ReorderedEncoderOut:  # type: ignore[override]
        if isinstance(encoder_out, ReorderedEncoderOut):
            return encoder_out.reordered(new_order)
        return ReorderedEncoderOut(super().reorder_encoder_out, encoder_out, new_order)


class TransformerDecoder(TransformerDecoderBase):
    """fairseq's decoder over :class:`.layers.TransformerDecoderLayer`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        place_layers(self.layers)
        set_positions(self)
        set_dropout(self)
        self.returns_attention = True
        guided = bool(vars(self.cfg).get("guided_alignment"))
        self.alignment = read_alignment(self.cfg, guided)
        # who names a layer or heads has a loss that reads them
        self.trains_attention = guided or self.alignment != AlignmentOptions()
        conventions = read_options(ConventionOptions, self.cfg)
        self.starts_with_bos = conventions.decoder_start_symbol == "bos"
        self.output_bias = None
        if conventions.output_bias:
            if self.adaptive_softmax is not None:
                raise ValueError("--output-bias goes with no --adaptive-softmax-cutoff: leave one of them out")
            self.output_bias = nn.Parameter(torch.zeros(len(self.dictionary)), requires_grad=False)

    def build_decoder_layer(self, cfg: Any, no_encoder_attn: bool = False) -> Any:
        layer = TransformerDecoderLayer(cfg, no_encoder_attn)
        set_activation(layer, cfg.activation_fn)
        return wrap_layer(layer, cfg)

    def buffered_future_mask(self, tensor: Any) -> Any:
        """``CAUSAL`` instead of a dense triangle, except where fairseq goes on to join the mask with another."""
        return super().buffered_future_mask(tensor) if self.cross_self_attention else CAUSAL

    def extract_features(  # type: ignore[override]
        self,
        prev_output_tokens: Any,
        encoder_out: Any,
        incremental_state: Any = None,
        full_context_alignment: bool = False,
        alignment_layer: int | None = None,
        alignment_heads: int | None = None,
    ) -> Any:
        if alignment_layer is None and alignment_heads is None:
            alignment_layer, alignment_heads = self.alignment.alignment_layer, self.alignment.alignment_heads
            if not (self.trains_attention if self.training else self.returns_attention):
                alignment_layer = -1  # no layer: nobody reads attention weights, and without them attention is fused
        if incremental_state is not None and isinstance(encoder_out, ReorderedEncoderOut):
            encoder_out = encoder_out_to_read(self, encoder_out, incremental_state)
        if self.starts_with_bos:
            begins = prev_output_tokens.eq(self.dictionary.eos())  # nothing follows a </s> that ends a sentence
            prev_output_tokens = prev_output_tokens.masked_fill(begins, self.dictionary.bos())
        given = (prev_output_tokens, encoder_out, incremental_state)
        x, extra = super().extract_features(*given, full_context_alignment, alignment_layer, alignment_heads)
        if self.alignment.full_context_alignment and incremental_state is None and extra["attn"][0] is not None:
            extra["attn"] = super().extract_features(*given, True, alignment_layer, alignment_heads)[1]["attn"]
        return x, extra

    def reorder_incremental_state_scripting(self, incremental_state: Any, new_order: Any) -> None:
        """As fairseq's, but what moves is found once for all layers."""
        self.reorder(incremental_state, new_order, self.followers())

    def followers(self) -> list[Any]:
        """The modules that keep a past of beam search."""
        return [
            module for module in self.modules() if module is not self and hasattr(module, "reorder_incremental_state")
        ]

    def reorder(self, incremental_state: Any, new_order: Any, followers: list[Any]) -> None:
        """Row i of every past becomes the former row ``new_order[i]``; ``followers``: of :meth:`followers`."""
        reordering = reordering_of(self, incremental_state, new_order)
        for module in followers:
            if isinstance(module, FairseqAttention):
                module.follow(incremental_state, reordering)
            else:
                module.reorder_incremental_state(incremental_state, new_order)

    def output_layer(self, features: Any) -> Any:
        logits = super().output_layer(features)
        return logits if self.output_bias is None else logits + self.output_bias


PLAIN_OUTPUT_LAYERS.add(TransformerDecoder.output_layer)


class StagedTransformerModel(TransformerModel):
    """fairseq's encoder-decoder Transformer with staged attention, every option by argparse or hydra.

    Args: see fairseq's ``TransformerModel``, :func:`.options.add_model_args`,
        :class:`.conventions.ConventionOptions` and :class:`.alignment.AlignmentOptions`.
    """

    def __init__(self, args: Any, encoder: TransformerEncoder, decoder: TransformerDecoder) -> None:
        super().__init__(args, encoder, decoder)
        # where it is set, fairseq aligns what it has generated by a pass of the model
        self.full_context_alignment = decoder.alignment.full_context_alignment

    @classmethod
    def add_args(cls, parser: Any) -> None:
        super().add_args(parser)
        add_model_args(parser)
        add_convention_args(parser)
        add_alignment_args(parser)

    @classmethod
    def build_model(cls, args: Any, task: Any) -> Any:
        given, args = args, copy(as_namespace(args))
        if OmegaConf.is_config(given):
            ignore_scales(args)
        settings = getattr(task, "cfg", None) or getattr(task, "args", None)
        # only a task that says so is taken to pad targets on the right
        args.right_padded_targets = getattr(settings, "left_pad_target", None) is False
        args.guided_alignment = getattr(settings, "load_alignments", False)
        model = super().build_model(args, task)
        # the model's alone, and no checkpoint's
        give_back(given, args, "right_padded_targets", "guided_alignment")
        return model

    def prepare_for_inference_(self, cfg: Any) -> None:
        super().prepare_for_inference_(cfg)
        prepare_for_inference(self, cfg)

    @classmethod
    def build_encoder(cls, args: Any, src_dict: Any, embed_tokens: Any) -> TransformerEncoder:
        return TransformerEncoder(layer_config(args, "transformer"), src_dict, embed_tokens)

    @classmethod
    def build_decoder(cls, args: Any, tgt_dict: Any, embed_tokens: Any) -> TransformerDecoder:
        cfg = layer_config(args, "transformer")
        return TransformerDecoder(cfg, tgt_dict, embed_tokens, no_encoder_attn=cfg.no_cross_attention)


register_family("transformer", StagedTransformerModel)
