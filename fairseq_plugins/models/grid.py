"""One grid of architectures: family x variant x size.

A variant is a set of option defaults, a size is the stock fairseq architecture of that suffix. Every combination is
registered as ``FAMILY_VARIANT[_SIZE]``, for example ``transformer_neuralqkv_iwslt_de_en``.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Callable, Dict, Tuple

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, register_model, register_model_architecture
from omegaconf import OmegaConf

#: variant -> option defaults; anything may be overridden on the command line
VARIANTS: Dict[str, Dict[str, str]] = {
    "baseline": {},
    "neuralqkv": {"attention_projection": "neural"},
    "matched": {"match_parameters_of": "neuralqkv"},
}

#: family -> fairseq's own sizes ("" is the family's default)
SIZES: Dict[str, Tuple[str, ...]] = {
    "transformer": (
        "",
        "tiny",
        "iwslt_de_en",
        "wmt_en_de",
        "wmt_en_de_big",
        "wmt_en_de_big_t2t",
        "vaswani_wmt_en_de_big",
        "vaswani_wmt_en_fr_big",
    ),
}


def architecture_name(family: str, variant: str, size: str) -> str:
    """``("transformer", "neuralqkv", "tiny")`` -> ``"transformer_neuralqkv_tiny"``."""
    return "_".join(part for part in (family, variant, size) if part)


def stock_name(family: str, size: str) -> str:
    """fairseq's own architecture of that size."""
    return "_".join(part for part in (family, size) if part)


def architecture(family: str, variant: str, size: str) -> Callable[[Any], None]:
    """The function that fills in the defaults of one architecture, for argparse namespaces and hydra configs alike."""
    stock = ARCH_CONFIG_REGISTRY[stock_name(family, size)]

    def fill(args: Any) -> None:
        if not OmegaConf.is_config(args):
            apply(args)
            return
        # omegaconf < 2.1 answers None for a missing key, which stock architecture functions take for a value
        namespace = as_namespace(args)
        apply(namespace)
        for name, value in vars(namespace).items():
            args[name] = value

    def apply(args: Any) -> None:
        for name, value in VARIANTS[variant].items():
            if getattr(args, name, None) is None:
                setattr(args, name, value)
        stock(args)

    fill.__name__ = architecture_name(family, variant, size)
    fill.__doc__ = f"{stock_name(family, size)} with {VARIANTS[variant] or 'vanilla attention'}."
    return fill


def as_namespace(args: Any) -> Any:
    """A hydra config as a flat argparse namespace; anything else as it is."""
    if not OmegaConf.is_config(args):
        return args
    content: Any = OmegaConf.to_container(args, resolve=True)
    return Namespace(**{str(name): value for name, value in content.items() if value is not None})


def register_family(family: str, model_class: type) -> None:
    """Register a model and its architectures for each variant and size; doing so again changes nothing."""
    for variant in VARIANTS:
        name = architecture_name(family, variant, "")
        if name in ARCH_MODEL_REGISTRY:
            continue
        register_model(name)(type(model_class.__name__, (model_class,), {"__module__": model_class.__module__}))
        for size in SIZES[family]:
            register_model_architecture(name, architecture_name(family, variant, size))(
                architecture(family, variant, size)
            )
