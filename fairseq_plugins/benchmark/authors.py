"""Neural QKV as its authors ran it (Zhang 2023, arXiv 2310.11398, released code), to be measured beside ours.

Their networks are ``nn.Sequential`` modules called one by one inside Hugging Face's attention of that time
(``MarianAttention``): scaled queries, batched product, added mask, softmax, dropout, batched product. Rebuilt here from
that description over the parameters of our modules, whose names they keep.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_plugins.attention import CAUSAL, StagedMultiheadAttention
from fairseq_plugins.attention.project.network import ProjectionNetwork


def replace_attention(model: nn.Module) -> None:
    """Put the authors' attention in the place of ours, with its parameters.

    Raises:
        ValueError: the model has no attention that has such a form.
    """
    masks = AdditiveMasks()
    replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, StagedMultiheadAttention):
                setattr(parent, name, AuthorsAttention(child, masks))
                replaced += 1
    if not replaced:
        raise ValueError(f"{type(model).__name__} has none of our attention: measure neuralqkv+authors")


class AuthorsAttention(nn.Module):
    """Attention of one module, unfused.

    Args:
        ours: the module whose parameters, shape and dropout it takes.
        masks: what all modules of a model share.
    """

    def __init__(self, ours: StagedMultiheadAttention, masks: AdditiveMasks) -> None:
        super().__init__()
        if any(maker != role for role, maker in ours.makers.items()) or ours.kv_heads != ours.num_heads:
            raise ValueError("the authors of neural QKV have no shared projections: measure neuralqkv+authors")
        maps = [ours.map_of("k"), ours.map_of("v"), ours.map_of("q"), ours.out_proj]
        if not all(isinstance(module, (nn.Linear, ProjectionNetwork)) for module in maps):
            raise ValueError("the authors of neural QKV have linear maps and their networks: measure neuralqkv+authors")
        self.num_heads, self.head_dim = ours.num_heads, ours.head_dim
        self.self_attention, self.masks = ours.self_attention, masks
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = map(plain, maps)
        self.dropout_module = ours.dropout_module

    def forward(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        key_padding_mask: Tensor | None = None,
        attn_mask: Any = None,
        **unused: Any,
    ) -> tuple[Tensor, None]:
        """query (T, B, C) and keys (S, B, C) of a training step -> (T, B, C) and no weights."""
        keys = query if self.self_attention else key
        assert keys is not None
        queries, batch, width = query.shape
        q = self._split_heads(self.q_proj(query) * self.head_dim**-0.5)
        k, v = self._split_heads(self.k_proj(keys)), self._split_heads(self.v_proj(keys))
        scores = torch.bmm(q, k.transpose(1, 2))
        # as there, targets have no padding mask: under the causal one no word sees the padding behind it
        mask = self.masks.get(None if attn_mask is CAUSAL else key_padding_mask, attn_mask is CAUSAL, scores)
        if mask is not None:
            scores = scores.view(batch, self.num_heads, queries, -1) + mask
            scores = scores.view(batch * self.num_heads, queries, -1)
        weights = F.dropout(F.softmax(scores, dim=-1), p=self.dropout_module.p, training=self.training)
        out = torch.bmm(weights, v).view(batch, self.num_heads, queries, self.head_dim)
        return self.out_proj(out.permute(2, 0, 1, 3).reshape(queries, batch, width)), None

    def _get_input_buffer(self, incremental_state: Any) -> dict[str, Tensor | None]:
        """Empty: fairseq's decoder layer asks for it in training, too."""
        return {}

    def _split_heads(self, x: Tensor) -> Tensor:
        """(T, B, C) -> (B * H, T, D), contiguous as there."""
        split = x.view(x.size(0), x.size(1), self.num_heads, self.head_dim).permute(1, 2, 0, 3).contiguous()
        return split.view(-1, x.size(0), self.head_dim)


class AdditiveMasks:
    """The added masks of one batch, made once for all layers as there."""

    def __init__(self) -> None:
        self.made: dict[bool, tuple[Tensor | None, Tensor]] = {}

    def get(self, padding: Tensor | None, causal: bool, scores: Tensor) -> Tensor | None:
        """What is added to scores (.., T, S): (1 or B, 1, 1 or T, S), or None.

        Args:
            padding: (B, S), true = pad, the same object in all layers.
            causal: query t sees the keys 0..t.
        """
        if padding is None and not causal:
            return None
        queries, keys = scores.shape[-2:]
        known = self.made.get(causal)
        if known is not None and known[0] is padding and known[1].size(-1) == keys:
            return known[1]
        if causal:
            excluded = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).triu(1)[None, None]
        else:
            assert padding is not None
            excluded = padding.bool()[:, None, None, :]
        mask = torch.zeros(excluded.shape, dtype=scores.dtype, device=scores.device)
        mask.masked_fill_(excluded, torch.finfo(scores.dtype).min)
        self.made[causal] = padding, mask
        return mask


def plain(module: nn.Module) -> nn.Module:
    """A projection as a linear map or an ``nn.Sequential`` over the same parameters, whatever class it has here."""
    layers: dict[int, dict[str, nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if "." not in name:
            return module
        place, field = name.split(".")
        layers.setdefault(int(place), {})[field] = parameter
    made: list[nn.Module] = []
    for number in range(max(layers) + 1):
        if number not in layers:
            made.append(nn.ReLU())
            continue
        weight = layers[number]["weight"]
        layer = nn.Linear(weight.size(1), weight.size(0)) if weight.dim() == 2 else nn.LayerNorm(weight.size(0))
        for field, parameter in layers[number].items():
            setattr(layer, field, parameter)
        made.append(layer)
    return nn.Sequential(*made)
