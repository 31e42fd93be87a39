"""Random translation models that translate a sentence into itself, and so end it where a trained model would.

A random model never ends a hypothesis; one whose weights are drawn as fairseq draws them, but for the last decoder
layer, is as much work a step and has hypotheses of a natural length. There every head finds the source word at the
decoder's own position: token embeddings leave a few dimensions to the sinusoidal positions, from which queries and keys
are made, values are what stands in the other dimensions, and self-attention takes out the word that was read. All other
sublayers add a little noise, so that scores depend on every weight.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .processes import GateError

#: what the random weights that end the other sublayers are multiplied by
NOISE = 0.1
#: score of the right position above that of its neighbours
MARGIN = 20.0
#: log-odds of the right word, about
CONFIDENCE = 2.0


@torch.no_grad()
def make_copying(model: Any) -> None:
    """Change a random model of the ``transformer`` family with shared embeddings and sinusoidal positions in place.

    Raises:
        GateError: its last decoder layer cannot find positions and take words out as well.
    """
    embeddings: Tensor = model.encoder.embed_tokens.weight
    symbols, width = embeddings.shape
    last = model.decoder.layers[-1]
    check_maps(last.self_attn)
    check_maps(last.encoder_attn)
    position_dims, zero_dim = reserved_dims(width, last.encoder_attn.head_dim)
    reserved = torch.tensor([*position_dims, zero_dim])
    words = torch.ones(width).index_fill_(0, reserved, 0.0)
    keep_to_words(embeddings.T, words)
    # words of unequal lengths would make layer normalisation scale their positions unequally
    embeddings.copy_(F.normalize(embeddings, dim=1))
    for layer in [*model.encoder.layers, *model.decoder.layers]:
        for name in ("self_attn", "encoder_attn"):
            if hasattr(layer, name):
                quieten(getattr(layer, name).out_proj, words)
        quieten(layer.fc2, words)

    # layer normalisation subtracts the mean, which the dimension that is 0 at all positions tells
    finder = torch.zeros(len(position_dims), width)
    finder[torch.arange(len(position_dims)), position_dims] = 1.0
    finder[:, zero_dim] = -1.0
    finder = finder.repeat(last.encoder_attn.num_heads, 1)
    share = min(0.9, (math.log(symbols) + 0.5 + CONFIDENCE) / math.sqrt(width))
    for attention, gain in ((last.self_attn, -1.0), (last.encoder_attn, 1.25 * share / math.sqrt(1 - share**2))):
        set_map(attention.q_proj, finder, sharpness(width, attention.head_dim))
        set_map(attention.k_proj, finder)
        set_map(attention.v_proj, torch.diag(words))
        set_map(attention.out_proj, torch.eye(width), gain)


def check_maps(attention: Any) -> None:
    """Whether queries, keys and values can be made as different as copying needs; fairseq's own attention can."""
    makers = getattr(attention, "makers", {})
    shared = any(maker != role for role, maker in makers.items())
    if makers and (shared or attention.kv_heads != attention.num_heads or attention.projection.query_holds_input):
        raise GateError(
            "a random model whose queries, keys and values have no maps of their own cannot be made to copy, and so to "
            "end its hypotheses: measure a trained one with --checkpoint FILE --data DIR"
        )


def reserved_dims(width: int, head_dim: int) -> Any:
    """The dimensions of the fastest sines and cosines, as many as a head has, and that of the slowest sine."""
    half, pairs = width // 2, head_dim // 2
    return [*range(pairs), *range(half, half + pairs)], half - 1


def sharpness(width: int, head_dim: int) -> float:
    """By what queries must be multiplied for neighbouring positions to lie :data:`MARGIN` apart."""
    half = width // 2
    frequencies = torch.exp(torch.arange(head_dim // 2) * -(math.log(10000) / (half - 1)))
    # positions are a third of the variance beside the words
    return MARGIN * math.sqrt(head_dim) / ((1 - frequencies.cos()).sum().item() * 0.66)


def keep_to_words(rows: Tensor, words: Tensor) -> None:
    """Take what is written into the reserved dimensions, and the mean over the others, out of (width, anything)."""
    rows *= words[:, None]
    rows -= rows.sum(0) / words.sum() * words[:, None]


def quieten(module: nn.Module, words: Tensor) -> None:
    """Leave a map, or a network's last one, a share of its random output."""
    matrix = matrices(module)[-1]
    matrix.mul_(NOISE)
    keep_to_words(matrix, words)


def set_map(module: nn.Module, matrix: Tensor, gain: float = 1.0) -> None:
    """Make a linear projection ``gain * matrix``; a network of twice that width the same for its normalised hidden."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.dim() == 1:  # a norm's gain
            parameter.fill_(1.0)
    found = matrices(module)
    if len(found) == 1:
        found[0].copy_(gain * matrix)
        return
    first, last = found
    identity = torch.eye(len(matrix))
    first.copy_(torch.cat([matrix, -matrix]))  # relu(x) - relu(-x) = x
    last.copy_(gain * torch.cat([identity, -identity], dim=1))


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weights of a linear map, or of the two of a network."""
    return [parameter for parameter in module.parameters() if parameter.dim() == 2]
