"""Guided alignment: cross-attention that learns given word alignments (Garg et al., EMNLP 2019, arXiv 1909.02074).

The options are those of fairseq's ``transformer_align``, the loss is its criterion
``label_smoothed_cross_entropy_with_alignment``.
"""

from dataclasses import dataclass, field
from typing import Any

from fairseq_plugins.attention.options import read_options
from fairseq_plugins.attention.stages import KERNEL, MIXING

from .options import add_options


@dataclass
class AlignmentOptions:
    """Which weights of cross-attention are a ``transformer`` model's word alignments, in training and generation.

    Training computes them where the task loads alignments, or an option is given.
    """

    alignment_layer: int | None = field(
        default=None, metadata={"help": "the decoder layer that aligns words, 0 = the lowest (default: the last)"}
    )
    alignment_heads: int | None = field(
        default=None, metadata={"help": "align by the mean of so many of its heads (default: of all)"}
    )
    full_context_alignment: bool = field(
        default=False, metadata={"help": "align words in a second pass of the decoder, which sees the whole target"}
    )


def add_alignment_args(parser: Any) -> None:
    """Add the options to an argparse parser."""
    add_options(parser, AlignmentOptions)


def read_alignment(cfg: Any, guided: bool) -> AlignmentOptions:
    """The options of a model's config; missing ones take their defaults.

    Args:
        cfg: fairseq's ``TransformerConfig`` with ``attention`` parsed.
        guided: the model is trained with alignments.

    Raises:
        ValueError: there is no such layer, or not so many heads; or the cross-attention cannot be guided: there is
            none, or it gives weight 0 to words, and the loss takes logarithms.
    """
    options = read_options(AlignmentOptions, cfg)
    layer, layers = options.alignment_layer, cfg.decoder.layers
    if layer is not None and not 0 <= layer < layers:
        raise ValueError(f"--alignment-layer {layer}: choose from 0, the lowest, to {layers - 1}, the last")
    heads, all_heads = options.alignment_heads, cfg.decoder.attention_heads
    if heads is not None and not 1 <= heads <= all_heads:
        raise ValueError(f"--alignment-heads {heads}: choose from 1 to {all_heads}")
    if guided:
        _check_guidable(cfg)
    return options


def _check_guidable(cfg: Any) -> None:
    if cfg.no_cross_attention:
        raise ValueError("--load-alignments guides cross-attention, which --no-cross-attention leaves out")
    kernel, mixing = (cfg.attention.choices[stage.name]["cross"] for stage in (KERNEL, MIXING))
    for stage, choice, positive in (
        (KERNEL, kernel, not KERNEL[kernel].ignores_keys),
        (MIXING, mixing, MIXING[mixing].uses_all_keys),
    ):
        if not positive:
            raise ValueError(
                f"--load-alignments: the loss needs a weight above 0 for every aligned word, which cross-attention "
                f"with --attention-{stage.name} {choice} does not give: say encoder={choice},decoder={choice} for all "
                "but cross-attention"
            )
