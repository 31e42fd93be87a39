"""The ``transformer_lm`` family: fairseq's causal language model with staged attention."""

from __future__ import annotations

from argparse import Namespace
from ast import literal_eval
from copy import copy
from dataclasses import fields
from typing import Any

from fairseq import options
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models.transformer_lm import (
    DEFAULT_MAX_TARGET_POSITIONS,
    TransformerLanguageModel,
    TransformerLanguageModelConfig,
)
from fairseq.modules import AdaptiveInput, CharacterTokenEmbedder
from fairseq.tasks.language_modeling import LanguageModelingTask

from .fast_inference import prepare_for_inference
from .grid import as_namespace, give_back, register_family
from .options import add_model_args, layer_config
from .scales import ignore_scales, take_over_scales
from .transformer import TransformerDecoder


class StagedTransformerLanguageModel(TransformerLanguageModel):
    """fairseq's decoder-only Transformer with staged attention, every option by argparse or hydra.

    Args: see fairseq's ``TransformerLanguageModelConfig`` and :func:`.options.add_model_args`.
    """

    @classmethod
    def add_args(cls, parser: Any) -> None:
        gen_parser_from_dataclass(parser, TransformerLanguageModelConfig(), delete_default=True)
        add_model_args(parser)

    @classmethod
    def build_model(cls, args: Any, task: Any) -> StagedTransformerLanguageModel:
        """As fairseq's, which names its decoder's class.

        Raises:
            ValueError: ``--tie-adaptive-weights`` without an adaptive input of the softmax's cutoffs, factor and width.
        """
        given, args = args, copy(as_namespace(args))
        written = Namespace()  # what fairseq's writes into the options that it is given
        for item in fields(TransformerLanguageModelConfig):
            if not hasattr(args, item.name) and not str(item.default).startswith("${"):
                setattr(args, item.name, item.default)
        ignore_scales(args)
        if args.decoder_layers_to_keep:
            written.decoder_layers = args.decoder_layers = len(args.decoder_layers_to_keep.split(","))
        settings = getattr(task, "args", None) or getattr(task, "cfg", None)
        for source in (args, settings):
            if getattr(args, "max_target_positions", None) is None:
                args.max_target_positions = getattr(source, "tokens_per_sample", None)
        if args.max_target_positions is None:
            args.max_target_positions = DEFAULT_MAX_TARGET_POSITIONS
        written.max_target_positions = args.max_target_positions
        args.right_padded_targets = isinstance(task, LanguageModelingTask)  # it pads on the right; others may not
        if args.tie_adaptive_weights:
            _check_tied(args)
        embed_tokens = _build_embedding(cls, args, task.source_dictionary)
        cfg = layer_config(args, "transformer_lm")
        model = cls(TransformerDecoder(cfg, task.target_dictionary, embed_tokens, no_encoder_attn=True))
        give_back(given, written)
        return model

    def upgrade_state_dict_named(self, state_dict: Any, name: str) -> None:
        super().upgrade_state_dict_named(state_dict, name)
        take_over_scales(self.decoder.layers, state_dict, f"{name}.decoder.layers".lstrip("."))

    def prepare_for_inference_(self, cfg: Any) -> None:
        super().prepare_for_inference_(cfg)
        prepare_for_inference(self, cfg)


def _build_embedding(cls: Any, args: Any, dictionary: Any) -> Any:
    if args.character_embeddings:
        return CharacterTokenEmbedder(
            dictionary,
            literal_eval(args.character_filters),
            args.character_embedding_dim,
            args.decoder_embed_dim,
            args.char_embedder_highway_layers,
        )
    if args.adaptive_input:
        return AdaptiveInput(
            len(dictionary),
            dictionary.pad(),
            args.decoder_input_dim,
            args.adaptive_input_factor,
            args.decoder_embed_dim,
            options.eval_str_list(args.adaptive_input_cutoff, type=int),
            args.quant_noise_pq,
            args.quant_noise_pq_block_size,
        )
    return cls.build_embedding(args, dictionary, args.decoder_input_dim)


def _check_tied(args: Any) -> None:
    for needed, wrong in (
        ("--adaptive-input", not args.adaptive_input),
        (
            "equal --adaptive-input-factor and --adaptive-softmax-factor",
            args.adaptive_input_factor != args.adaptive_softmax_factor,
        ),
        (
            "equal --adaptive-input-cutoff and --adaptive-softmax-cutoff",
            args.adaptive_input_cutoff != args.adaptive_softmax_cutoff,
        ),
        ("equal --decoder-input-dim and --decoder-output-dim", args.decoder_input_dim != args.decoder_output_dim),
    ):
        if wrong:
            raise ValueError(f"--tie-adaptive-weights needs {needed}")


register_family("transformer_lm", StagedTransformerLanguageModel)
