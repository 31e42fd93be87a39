"""From options to attention modules: which choice each stage takes at each site.

A site is where a model attends: ``encoder`` and ``decoder`` self-attention, and ``cross``-attention.
"""

from __future__ import annotations

import difflib
from argparse import Namespace
from dataclasses import dataclass, field, fields
from typing import Any

from .module import StagedMultiheadAttention
from .options import read_options
from .stages import INITS, STAGES, Stage

SITES = ("encoder", "decoder", "cross")

_SITES_HELP = (
    "CHOICE for every site, or SITE=CHOICE,... with the sites encoder, decoder, cross (others keep the default)"
)


@dataclass
class StageOptions:
    """The options that pick a choice for each stage."""

    attention_projection: str = field(
        default="linear", metadata={"help": f"stage 1, q, k, v and output from their inputs: {_SITES_HELP}"}
    )
    attention_compatibility: str = field(
        default="dot", metadata={"help": f"stage 2, scores from q and k: {_SITES_HELP}"}
    )
    attention_kernel: str = field(default="exp", metadata={"help": f"stage 3, weights from scores: {_SITES_HELP}"})
    attention_mixing: str = field(
        default="dense", metadata={"help": f"stage 4, output from weights and values: {_SITES_HELP}"}
    )
    attention_init: str = field(
        default="linear",
        metadata={
            "help": "initialisation of the projections: linear, networks begin as the linear maps that the baseline of "
            "the same seed has in their place; paper, each paper's own; xavier, fairseq's; normal, N(0, 0.02^2)",
            "choices": INITS,
        },
    )
    attention_kv_heads: str | None = field(
        default=None,
        metadata={
            "help": "heads of keys and values, each of which a group of the attention heads shares: N for every site, "
            "or SITE=N,... (default: as many as attention heads)"
        },
    )


DEFAULTS = {stage.name: getattr(StageOptions(), f"attention_{stage.name}") for stage in STAGES}


def parse_sites(stage: Stage, text: str) -> dict[str, str]:
    """``"neural"`` or ``"encoder=neural,cross=linear"`` -> the choice at each site.

    Raises:
        ValueError: an unknown site or choice; the message names the option and what is known.
    """
    option = f"--attention-{stage.name}"
    chosen = by_site(option, text)
    for choice in chosen.values():
        if choice not in stage.choices:
            raise ValueError(f"{option} {text}: unknown choice {choice!r}; known: {', '.join(stage.choices)}")
    return {site: chosen.get(site, DEFAULTS[stage.name]) for site in SITES}


def parse_kv_heads(text: str | None) -> dict[str, int | None]:
    """``"2"`` or ``"decoder=2,cross=1"`` -> the heads of keys and values at each site; None is as many as queries have.

    Raises:
        ValueError: an unknown site, or no positive number; the message names the option.
    """
    option = "--attention-kv-heads"
    chosen = {} if text is None else by_site(option, text)
    for number in chosen.values():
        if not number.isdecimal() or int(number) < 1:
            raise ValueError(f"{option} {text}: give a number from 1 on, or SITE=N,... with {', '.join(SITES)}")
    return {site: int(chosen[site]) if site in chosen else None for site in SITES}


def by_site(option: str, text: str) -> dict[str, str]:
    """``"x"`` or ``"encoder=x,cross=y"`` -> what is said of the sites.

    Raises:
        ValueError: a site is unknown or given twice.
    """
    chosen = {}
    for part in str(text).split(","):
        site, equals, value = part.strip().rpartition("=")
        if equals and site not in SITES:
            raise ValueError(f"{option} {text}: unknown site {site!r}; known: {', '.join(SITES)}")
        for name in [site] if equals else SITES:
            if name in chosen:
                raise ValueError(f"{option} {text}: site {name} is given twice")
            chosen[name] = value
    return chosen


class AttentionConfig:
    """A choice for each stage, at each site, and every choice's options; what is not given takes its default.

    Args:
        options: by the names of :func:`attention_options`, which may leave out ``attention_``.

    Raises:
        TypeError: there is no such option; the message names the nearest.
        ValueError: an option has an unknown value.

    Examples:
        >>> config = AttentionConfig(kernel="elu1", mixing="encoder=top-r", r=8)
        >>> config.choices["mixing"]
        {'encoder': 'top-r', 'decoder': 'dense', 'cross': 'dense'}
    """

    def __init__(self, **options: Any) -> None:
        known = attention_options()
        given = {}
        for name, value in options.items():
            full = name if name in known else f"attention_{name}"
            if full not in known:
                near = difflib.get_close_matches(full, known, 1, 0) or difflib.get_close_matches(name, known, 1, 0)
                raise TypeError(f"attention has no option {name!r}; the nearest is {near[0]!r}")
            given[full] = value
        self._read(Namespace(**given))

    @classmethod
    def from_options(cls, given: Any) -> AttentionConfig:
        """From whatever has the options' full names as attributes, and maybe many others; None is not given."""
        config = cls.__new__(cls)
        config._read(given)
        return config

    def _read(self, given: Any) -> None:
        own = read_options(StageOptions, given)
        self.init = str(own.attention_init)
        self.kv_heads = parse_kv_heads(own.attention_kv_heads)
        self.choices = {stage.name: parse_sites(stage, getattr(own, f"attention_{stage.name}")) for stage in STAGES}
        self.options: dict[type, Any] = {
            cls: read_options(cls, given) for cls in option_classes() if cls is not StageOptions
        }

    def choice(self, stage: Stage, site: str) -> Any:
        """The class chosen for a stage at a site, and its options."""
        cls = stage[self.choices[stage.name][site]]
        return cls, self.options.get(cls.Options)

    def build(
        self,
        site: str,
        embed_dim: int,
        num_heads: int,
        attention: type[StagedMultiheadAttention] = StagedMultiheadAttention,
        **kwargs: Any,
    ) -> StagedMultiheadAttention:
        """The attention of one site, an instance of ``attention``, whose arguments ``kwargs`` are."""
        projection, compatibility, kernel, mixing = (self.choice(stage, site) for stage in STAGES)
        return attention(
            embed_dim,
            num_heads,
            projection=projection[0](projection[1], self.init),
            compatibility=compatibility[0](num_heads, embed_dim // num_heads, compatibility[1]),
            kernel=kernel[0](kernel[1]),
            mixing=mixing[0](mixing[1]),
            kv_heads=self.kv_heads[site],
            **kwargs,
        )


def option_classes() -> list[type]:
    """The dataclasses of options: the stages' own, then every choice's."""
    return [StageOptions, *dict.fromkeys(cls for stage in STAGES for cls in stage.option_classes())]


def attention_options() -> list[str]:
    """The names of all options, of the stages and of every choice, each once."""
    return list(dict.fromkeys(item.name for cls in option_classes() for item in fields(cls)))
