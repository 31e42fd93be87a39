"""The names of options: those that a model takes, those that anything of fairseq takes, the nearest to a wrong one."""

from __future__ import annotations

import difflib
import functools
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

from fairseq.dataclass.configs import FairseqConfig
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.models.transformer import TransformerConfig
from fairseq.registry import REGISTRIES
from fairseq.tasks import TASK_REGISTRY

from .grid import SIZES, architecture_name

#: what fairseq still reads in old checkpoints' options, and what names a model
_ELSEWHERE = {
    *("_name", "arch", "tokens_per_sample"),
    *("remove_bpe", "min_lr", "raw_text", "lazy_load", "no_tie_adaptive_proj", "decoder_final_norm"),
}


def model_option_names(arch: str) -> set[str]:
    """What an architecture of the three families takes: its parser's options, and what its defaults and layers name."""
    defaults = Namespace()
    ARCH_CONFIG_REGISTRY[arch](defaults)
    layers = {item.name for item in fields(TransformerConfig)}
    return {*_declared(ARCH_MODEL_REGISTRY[arch]), *vars(defaults), *layers, *_ELSEWHERE}


def family_option_names() -> set[str]:
    """What the models of the three families take, ours and stock's."""
    return {name for family in SIZES for name in model_option_names(architecture_name(family, "baseline", ""))}


def plugin_option_names() -> set[str]:
    """What our models' parsers have and stock's have not."""
    return {
        name
        for family in SIZES
        for name in _declared(ARCH_MODEL_REGISTRY[architecture_name(family, "baseline", "")])
        - _declared(MODEL_REGISTRY[family])
    }


def parser_option_names(arch: str) -> set[str]:
    """What an architecture's parser has."""
    return set(_parsed(ARCH_MODEL_REGISTRY[arch]))


def fairseq_option_names(models: Iterable[type] | None = None) -> set[str]:
    """What fairseq's programs, every task, criterion, tokenizer and so on take, and these models (default: all)."""
    registered = [cls for registry in REGISTRIES.values() for cls in registry["registry"].values()]
    dataclasses = [cls for registry in REGISTRIES.values() for cls in registry["dataclass_registry"].values()]
    sections = [type(section) for section in vars(FairseqConfig()).values() if is_dataclass(section)]
    names = {item.name for cls in (FairseqConfig, *sections, *dataclasses) for item in fields(cls)}
    for cls in (*registered, *TASK_REGISTRY.values(), *(MODEL_REGISTRY.values() if models is None else models)):
        names |= _declared(cls)
    return names | _ELSEWHERE


def _declared(cls: Any) -> set[str]:
    """The options that a class of fairseq adds to a parser, by whichever of its two ways."""
    dataclasses = [vars(base).get("__dataclass") for base in cls.__mro__]  # ours are built on some that have one
    names = {item.name for dataclass in dataclasses if dataclass is not None for item in fields(dataclass)}
    return names | _parsed(cls)


@functools.cache
def _parsed(cls: Any) -> set[str]:
    parser = ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    with suppress(Exception):  # somebody else's code, of which no more than this can be asked
        cls.add_args(parser)
    return {action.dest for action in parser._actions}


def suggestion(name: str, known: Iterable[str]) -> str:
    """``": did you mean attention_mixing?"``, or nothing where no known name is near."""
    near = difflib.get_close_matches(name.replace("-", "_"), sorted(known), n=1, cutoff=0.75)
    return f": did you mean {near[0]}?" if near else ""


def refuse_unknown_keys(cfg: Any, arch: str) -> None:
    """Check a hydra configuration's keys for an architecture of ours, as stock models' dataclasses check theirs.

    Raises:
        ValueError: the model does not take one; the message names the nearest that it takes.
    """
    known = model_option_names(arch)
    for name in map(str, cfg):
        if name not in known:
            raise ValueError(f"model.{name}: {arch} has no such option{suggestion(name, known)}")
