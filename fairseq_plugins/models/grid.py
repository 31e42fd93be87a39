"""One grid of architectures: family x variant x size.

A variant is a set of option defaults, a size is the stock fairseq architecture of that suffix. Every combination is
registered as ``FAMILY_VARIANT[_SIZE]``, for example ``transformer_neuralqkv_iwslt_de_en``.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, register_model, register_model_architecture
from omegaconf import OmegaConf, open_dict

#: variant -> option defaults; anything may be overridden on the command line
VARIANTS: dict[str, dict[str, str]] = {
    "baseline": {},
    "neuralqkv": {"attention_projection": "neural"},
    "symmetric": {"attention_compatibility": "symmetric"},
    "pairwise": {"attention_compatibility": "pairwise"},
    "valueaware": {"attention_mixing": "value-aware-r"},
    "nonlinearquery": {"attention_projection": "nonlinear-query"},
    "identityquery": {"attention_projection": "identity-query"},
    "sharedkv": {"attention_projection": "shared-key-value"},
    "sharedqkv": {"attention_projection": "shared"},
    "matched": {"match_parameters_of": "neuralqkv"},
}

#: what a variant means in one family only: there, the papers use another shape or fewer sites
FAMILY_OPTIONS: dict[tuple[str, str], dict[str, str]] = {
    ("roberta", "neuralqkv"): {"neural_qkv_shape": "roberta"},
    ("transformer", "symmetric"): {"attention_compatibility": "encoder=symmetric"},
    ("transformer", "pairwise"): {"attention_compatibility": "encoder=pairwise"},
}

#: family -> where its models attend
FAMILY_SITES: dict[str, tuple[str, ...]] = {
    "transformer": ("encoder", "decoder", "cross"),
    "roberta": ("encoder",),
    "transformer_lm": ("decoder",),
}

#: family -> sizes ("" is the family's default)
SIZES: dict[str, tuple[str, ...]] = {
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
    "roberta": ("", "tiny", "small", "base", "large"),
    "transformer_lm": (
        "",
        "tiny",
        "big",
        "wiki103",
        "baevski_wiki103",
        "gbw",
        "baevski_gbw",
        "gpt",
        "gpt2_tiny",
        "gpt2_small",
        "gpt2_medium",
        "gpt2_big",
        "gpt2_big_wide",
        "gpt2_bigger",
        "gpt3_small",
        "gpt3_medium",
        "gpt3_large",
        "gpt3_xl",
        "gpt3_2_7",
        "gpt3_6_7",
        "gpt3_13",
        "gpt3_175",
    ),
}

#: sizes that fairseq has not, as changes of its default: BERT-tiny and the symmetric paper's BERT-small
OWN_SIZES: dict[tuple[str, str], dict[str, int | bool]] = {
    ("roberta", "tiny"): {
        "encoder_layers": 2,
        "encoder_embed_dim": 128,
        "encoder_ffn_embed_dim": 512,
        "encoder_attention_heads": 2,
    },
    ("roberta", "small"): {
        "encoder_layers": 4,
        "encoder_embed_dim": 512,
        "encoder_ffn_embed_dim": 2048,
        "encoder_attention_heads": 8,
    },
    ("transformer_lm", "tiny"): {
        "decoder_layers": 2,
        "decoder_embed_dim": 128,
        "decoder_input_dim": 128,
        "decoder_output_dim": 128,
        "decoder_ffn_embed_dim": 512,
        "decoder_attention_heads": 2,
        "decoder_normalize_before": True,
    },
}


def variant_options(family: str, variant: str) -> dict[str, str]:
    """The option defaults of a variant in a family."""
    return {**VARIANTS[variant], **FAMILY_OPTIONS.get((family, variant), {})}


def architecture_name(family: str, variant: str, size: str) -> str:
    """``("transformer", "neuralqkv", "tiny")`` -> ``"transformer_neuralqkv_tiny"``."""
    return "_".join(part for part in (family, variant, size) if part)


def grid_place(name: str) -> tuple[str, str, str] | None:
    """``"roberta_pairwise_base"`` -> ``("roberta", "pairwise", "base")``: family, variant and size; None elsewhere."""
    for family, sizes in SIZES.items():
        for variant in VARIANTS:
            for size in sizes:
                if architecture_name(family, variant, size) == name:
                    return family, variant, size
    return None


def is_ours(name: str) -> bool:
    """Whether a model's or an architecture's name is one of this grid."""
    return grid_place(name) is not None


def stock_name(family: str, size: str) -> str:
    """fairseq's own architecture of that size, or the family's default where fairseq has no such size."""
    return family if not size or (family, size) in OWN_SIZES else f"{family}_{size}"


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
        for name, value in {**variant_options(family, variant), **OWN_SIZES.get((family, size), {})}.items():
            if getattr(args, name, None) is None:
                setattr(args, name, value)
        pre_norm = getattr(args, "decoder_normalize_before", None)
        stock(args)
        if pre_norm is not None:  # language models: stock architectures overwrite even what a checkpoint says
            args.decoder_normalize_before = pre_norm

    fill.__name__ = architecture_name(family, variant, size)
    fill.__doc__ = f"{stock_name(family, size)} with {variant_options(family, variant) or 'vanilla attention'}."
    return fill


def as_namespace(args: Any) -> Any:
    """A hydra config as a flat argparse namespace; anything else as it is."""
    if not OmegaConf.is_config(args):
        return args
    content: Any = OmegaConf.to_container(args, resolve=True)
    return Namespace(**{str(name): value for name, value in content.items() if value is not None})


def give_back(given: Any, args: Any, *private: str) -> None:
    """Write into a caller's options what building a model wrote into its own of them, but for ``private`` names.

    fairseq's models write into the options that they are given, and tasks read there.
    """
    if args is given:
        return
    config = OmegaConf.is_config(given)
    with open_dict(given) if config else nullcontext():
        for name, value in vars(args).items():
            if name in private or (config and value is None):
                continue
            known = name in given if config else hasattr(given, name)
            if not known or getattr(given, name) != value:
                setattr(given, name, value)


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
