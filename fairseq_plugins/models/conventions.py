"""Marian's conventions in the ``transformer`` family, where they differ from fairseq's.

The options' defaults are fairseq's. Marian's (Junczys-Dowmunt et al., ACL 2018 demonstrations; as Hugging Face's
``MarianMTModel`` implements them) make the weights of its models, opus-mt among them, compute the same here.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from fairseq.modules import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from fairseq_plugins.attention.options import read_options

from .options import add_options

POSITIONS = ("fairseq", "marian")
START_SYMBOLS = ("eos", "bos")


@dataclass
class ConventionOptions:
    """What a ``transformer`` model may do as Marian does it."""

    sinusoidal_positions: str = field(
        default="fairseq",
        metadata={
            "help": "fairseq: frequencies 10000^(-i/(d/2-1)), the first word's position is 2; marian: frequencies "
            "10000^(-2i/d), the first word's position is 0",
            "choices": POSITIONS,
        },
    )
    decoder_start_symbol: str = field(
        default="eos",
        metadata={
            "help": "what the decoder reads for the </s> at the start of its input: eos, </s> itself; bos, <s>",
            "choices": START_SYMBOLS,
        },
    )
    output_bias: bool = field(
        default=False, metadata={"help": "a bias on the output logits, which is loaded and not trained"}
    )


def convention_defaults() -> dict[str, Any]:
    """What stock fairseq does, by the options' names."""
    return asdict(ConventionOptions())


def add_convention_args(parser: Any) -> None:
    """Add the options, and ``swish`` to the choices of ``--activation-fn``, to an argparse parser."""
    add_options(parser, ConventionOptions)
    action = next(action for action in parser._actions if action.dest == "activation_fn")
    action.choices = [*action.choices, "swish"]


def set_activation(layer: Any, name: str) -> None:
    """Give a layer the activation ``swish``: for this name fairseq answers the class ``SiLU`` instead of a function."""
    if name == "swish":
        layer.activation_fn = nn.functional.silu


def set_positions(stack: Any) -> None:
    """Give an encoder or decoder Marian's positions if its options say so.

    Raises:
        ValueError: its positions are learned.
    """
    stock = stack.embed_positions
    if stock is None or read_options(ConventionOptions, stack.cfg).sinusoidal_positions == "fairseq":
        return
    if not isinstance(stock, SinusoidalPositionalEmbedding):
        raise ValueError("--sinusoidal-positions marian goes with no learned positions: leave one of them out")
    stack.embed_positions = MarianPositionalEmbedding(stock.embedding_dim, stock.padding_idx, stock.weights.size(0))


class MarianPositionalEmbedding(SinusoidalPositionalEmbedding):
    """fairseq's sinusoidal positions with Marian's table.

    The table's row ``padding_idx + 1 + p`` is Marian's position p: fairseq's own counting then gives every word of a
    padded or incremental input its place.
    """

    def __init__(self, embedding_dim: int, padding_idx: int, rows: int) -> None:
        super().__init__(embedding_dim, padding_idx, init_size=padding_idx + 1)
        self.weights = self.table(rows)

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        rows = self.padding_idx + 1 + input.size(1)
        if rows > self.weights.size(0):
            self.weights = self.table(rows)
        return super().forward(input, *args, **kwargs)

    def table(self, rows: int) -> Tensor:
        """``rows`` x embedding_dim: sin(p / 10000^(2i/d)) for all i, then the cosines; zeros up to the padding."""
        positions = np.arange(rows - self.padding_idx - 1)[:, None]
        width = self.embedding_dim
        angles = positions / np.power(10000, 2 * (np.arange(width) // 2) / width)
        table = np.concatenate([np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])], axis=1)
        padding = torch.zeros(self.padding_idx + 1, width)
        return torch.cat([padding, torch.from_numpy(table).float()])
