"""Kernels and mixings as ``attn_implementation`` of other people's models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from fairseq_plugins.attention import STAGES, AttentionConfig, AttentionMask
from fairseq_plugins.attention.groups import for_every_head
from fairseq_plugins.attention.stages import KERNEL, MIXING, Kernel, Mixing

#: what models add to the scores, or do with them, that no kernel here knows
UNKNOWN = ("softcap", "position_bias", "s_aux")


def register_with_transformers(name: str | None = None, **options: Any) -> list[str]:
    """Offer attention under ``attn_implementation=name`` to every model that takes such names.

    The model keeps its projections; the kernel and the mixing are ours. Padding, causality and windows are the model's,
    by its own masks.

    Args:
        name: for the options; without it every kernel and mixing is offered by its own name, with its defaults.
        options: ``kernel``, ``mixing`` and their options, as :class:`.AttentionConfig` takes them.

    Returns:
        The names.

    Raises:
        TypeError, ValueError: an option is unknown, or has no meaning for attention without projections.

    Examples:
        >>> names = register_with_transformers()
        >>> names[:3]
        ['elu1', 'relu', 'poly']
        >>> _ = register_with_transformers("top-4", mixing="top-r", r=4)
        >>> config = transformers.BertConfig(num_hidden_layers=1, attn_implementation="top-4")
        >>> out = transformers.BertModel(config)(torch.tensor([[5, 6, 7]]))
    """
    if name is None:
        if options:
            raise TypeError(f"give a name for {', '.join(options)}")
        offered = {kernel: {"kernel": kernel} for kernel in KERNEL.choices if kernel != "exp"}
        offered |= {mixing: {"mixing": mixing} for mixing in MIXING.choices if mixing != "dense"}
        for each, chosen in offered.items():
            register_with_transformers(each, **chosen)
        return list(offered)
    config = AttentionConfig(**options)
    for stage, plain in zip(STAGES[:2], ("linear", "dot")):
        if config.choices[stage.name]["decoder"] != plain:
            raise ValueError(f"the model has projections of its own: leave {stage.name} out")
    AttentionInterface.register(name, attention_function(config))
    AttentionMaskInterface.register(name, whole_mask)
    return [name]


def attention_function(config: AttentionConfig) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """What ``transformers`` calls in place of its own attention; of a config the choices of the site ``decoder``."""
    (kernel_class, kernel_options), (mixing_class, mixing_options) = (
        config.choice(stage, "decoder") for stage in (KERNEL, MIXING)
    )
    kernel, mixing = kernel_class(kernel_options), mixing_class(mixing_options)

    def chosen(module: Any) -> tuple[Kernel, Mixing]:
        layer = getattr(module, "layer_idx", None) or 0
        mixing.place(layer, max(layer + 1, getattr(module.config, "num_hidden_layers", 1)))
        return kernel, mixing

    return attending(chosen)


def attending(chosen: Callable[[Any], tuple[Kernel, Mixing]]) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The function that attends in each of a model's modules as what is chosen for it."""

    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        is_causal: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """query (B, H, T, D), key and value (B, N, S, D), mask (B, 1, T, S) -> (B, T, H, D) and weights (B, H, T, S).

        The weights are there where a call asks for ``output_attentions``, which few models hand on.
        """
        given = [name for name in UNKNOWN if kwargs.get(name) is not None]
        if given:
            raise ValueError(f"{type(module).__name__} has {', '.join(given)}, which this attention does not know")
        heads, width = query.size(1), query.size(3)
        if scaling is not None:
            query = query * (scaling * width**0.5)
        causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
        mask = _mask(attention_mask, bool(causal), query.size(2), key.size(2))
        kernel, mixing = chosen(module)
        drop, wanted = nn.Dropout(dropout), kwargs.get("output_attentions")
        key, value = for_every_head(key, heads), for_every_head(value, heads)
        out, weights = mixing.attend(kernel, query, key, value, mask, drop, bool(wanted))
        return out.transpose(1, 2).contiguous(), weights

    return attend


def whole_mask(*args: Any, **kwargs: Any) -> Tensor:
    """The mask of :func:`transformers.masking_utils.sdpa_mask`, never left to a kernel's own idea of causality."""
    mask = sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False, "allow_is_bidirectional_skip": False})
    assert mask is not None
    return mask


def _mask(given: Tensor | None, causal: bool, queries: int, keys: int) -> AttentionMask:
    """A mask of ``transformers``: bool, True = may be attended to, or added to the scores; None may mean causal."""
    if given is None:
        return AttentionMask(causal=causal and queries == keys > 1)
    given = given[..., :keys]
    if given.dtype == torch.bool:
        added = torch.zeros(given.shape, device=given.device).masked_fill(~given, float("-inf"))
    else:
        added = given.masked_fill(given <= torch.finfo(given.dtype).min / 2, float("-inf"))
    return AttentionMask(bias=added)
