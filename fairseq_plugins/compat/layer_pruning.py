"""``--encoder-layers-to-keep`` and ``--decoder-layers-to-keep``: fewer layers than a checkpoint has."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

from omegaconf import DictConfig, open_dict

from .registry import mark, marked, repair

SIDES = ("encoder", "decoder")


@repair("fairseq#1403, fairseq#1257")
def layer_pruning() -> bool:
    """Pruning one side of a translation model loses the other side's layers, and pruning a pruned model loses more.

    ``prune_state_dict`` drops every layer of a side of which none are chosen. What is pruned already, as when a
    training goes on after an interruption, it prunes again. It forgets which layers were chosen but leaves their
    number as it was, so that what ``transformer_lm`` saves cannot be loaded. A layer that is not there ends in a list
    of missing keys.
    """
    from fairseq import checkpoint_utils

    original = checkpoint_utils.prune_state_dict
    if marked(original):
        return True

    def prune_state_dict(state_dict: Any, model_cfg: Any) -> Any:
        hydra = isinstance(model_cfg, DictConfig)
        chosen = {side: layers for side in SIDES for layers in [_layers_as_text(model_cfg, side)] if layers}
        if not chosen or getattr(model_cfg, "_name" if hydra else "arch", None) in (None, "ptt_transformer"):
            return original(state_dict, model_cfg)
        kept = {side: layers for side, layers in chosen.items() if _numbers(side, state_dict)}
        others = {name: tensor for name, tensor in state_dict.items() if not name.startswith(tuple(kept))}
        with open_dict(model_cfg) if hydra else nullcontext():
            for side, layers in kept.items():
                if not _are_there(layers, side, state_dict):  # pruned before: all that are left
                    setattr(model_cfg, f"{side}_layers_to_keep", ",".join(map(str, range(layers.count(",") + 1))))
            pruned = original(state_dict, model_cfg)
            for side, layers in kept.items():
                setattr(model_cfg, f"{side}_layers", layers.count(",") + 1)
        return {**others, **pruned}

    checkpoint_utils.prune_state_dict = mark(prune_state_dict, original)
    return True


@repair("none known")
def layers_to_keep() -> bool:
    """``transformer`` makes a list of numbers of ``--encoder-layers-to-keep 0,2`` and then splits it as text.

    So the option ends in ``AttributeError``. The text is what all other models keep.
    """
    from fairseq.models.transformer import TransformerModel, TransformerModelBase

    for model in (TransformerModel, TransformerModelBase):
        original = model.__dict__["build_model"].__func__
        if not marked(original):
            model.build_model = classmethod(_with_text(original))
    return True


def _with_text(original: Any) -> Any:
    def build_model(cls: Any, cfg: Any, task: Any) -> Any:
        for side in SIDES:
            _layers_as_text(cfg, side)
        return original(cls, cfg, task)

    return mark(build_model, original)


def _layers_as_text(cfg: Any, side: str) -> Any:
    """Which layers of a side are kept, as ``"0,2"``, in the options too; empty or None for all of them."""
    name = f"{side}_layers_to_keep"
    value = getattr(cfg, name, None)
    if not value or isinstance(value, str):
        return value
    value = ",".join(map(str, value))
    with open_dict(cfg) if isinstance(cfg, DictConfig) else nullcontext():
        setattr(cfg, name, value)
    return value


def _are_there(layers: str, side: str, weights: dict[str, Any]) -> bool:
    """Whether weights hold these layers; False where they hold exactly as many others.

    Raises:
        ValueError: neither is so.
    """
    wanted, present = {int(layer) for layer in layers.split(",")}, _numbers(side, weights)
    if wanted <= present:
        return True
    if present == set(range(len(wanted))):
        return False
    raise ValueError(f"--{side}-layers-to-keep {layers}: the checkpoint has the layers {sorted(present)}")


def _numbers(side: str, weights: dict[str, Any]) -> set[int]:
    matches = (re.match(rf"{side}.*?\.layers\.(\d+)\.", name) for name in weights)
    return {int(match[1]) for match in matches if match}
