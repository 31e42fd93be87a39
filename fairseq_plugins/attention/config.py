"""From options to attention modules: which choice each stage takes at each site.

A site is where a model attends: ``encoder`` and ``decoder`` self-attention, and ``cross``-attention.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Dict, List

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.utils import gen_parser_from_dataclass

from .module import StagedMultiheadAttention
from .stages import INITS, STAGES, Stage

SITES = ("encoder", "decoder", "cross")

_SITES_HELP = (
    "CHOICE for every site, or SITE=CHOICE,... with the sites encoder, decoder, cross (others keep the default)"
)


@dataclass
class StageOptions(FairseqDataclass):
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
    attention_init: ChoiceEnum(list(INITS)) = field(  # type: ignore[valid-type]
        default="paper",
        metadata={"help": "initialisation of the attention: the paper's of each choice, or a named one"},
    )


DEFAULTS = {stage.name: getattr(StageOptions(), f"attention_{stage.name}") for stage in STAGES}


def parse_sites(stage: Stage, text: str) -> Dict[str, str]:
    """``"neural"`` or ``"encoder=neural,cross=linear"`` -> the choice at each site.

    Raises:
        ValueError: an unknown site or choice; the message names the option and what is known.
    """
    option = f"--attention-{stage.name}"
    chosen = {}
    for part in str(text).split(","):
        site, equals, choice = part.strip().rpartition("=")
        if equals and site not in SITES:
            raise ValueError(f"{option} {text}: unknown site {site!r}; known: {', '.join(SITES)}")
        if choice not in stage.choices:
            raise ValueError(f"{option} {text}: unknown choice {choice!r}; known: {', '.join(stage.choices)}")
        for name in [site] if equals else SITES:
            if name in chosen:
                raise ValueError(f"{option} {text}: site {name} is given twice")
            chosen[name] = choice
    return {site: chosen.get(site, DEFAULTS[stage.name]) for site in SITES}


class AttentionConfig:
    """Every choice and every choice's options, read from a namespace of options (missing ones take their defaults)."""

    def __init__(self, args: Any) -> None:
        self.choices = {}
        self.options: Dict[type, Any] = {}
        for stage in STAGES:
            text = _get(args, f"attention_{stage.name}", DEFAULTS[stage.name])
            self.choices[stage.name] = parse_sites(stage, text)
            for cls in stage.option_classes():
                self.options[cls] = _read_options(cls, args)
        self.init = str(_get(args, "attention_init", StageOptions().attention_init))
        if self.init not in INITS:
            raise ValueError(f"--attention-init {self.init}: choose from {', '.join(INITS)}")

    def choice(self, stage: Stage, site: str) -> Any:
        """The class chosen for a stage at a site, and its options."""
        cls = stage[self.choices[stage.name][site]]
        return cls, self.options.get(cls.Options)


def build_attention(
    config: AttentionConfig, site: str, embed_dim: int, num_heads: int, **kwargs: Any
) -> StagedMultiheadAttention:
    """The attention of one site; ``kwargs`` are those of :class:`StagedMultiheadAttention`."""
    projection, compatibility, kernel, mixing = (config.choice(stage, site) for stage in STAGES)
    return StagedMultiheadAttention(
        embed_dim,
        num_heads,
        projection=projection[0](projection[1], config.init),
        compatibility=compatibility[0](num_heads, embed_dim // num_heads, compatibility[1]),
        kernel=kernel[0](kernel[1]),
        mixing=mixing[0](mixing[1]),
        **kwargs,
    )


def attention_options() -> List[str]:
    """The names of all options, of the stages and of every choice."""
    return [item.name for cls in _option_classes() for item in fields(cls) if item.name != "_name"]


def add_attention_args(parser: Any) -> None:
    """Add the options of every stage and choice to an argparse parser (no defaults: the architecture sets them)."""
    for cls in _option_classes():
        gen_parser_from_dataclass(parser, cls(), delete_default=True, with_prefix="")


def _option_classes() -> List[type]:
    return [StageOptions, *dict.fromkeys(cls for stage in STAGES for cls in stage.option_classes())]


def _read_options(cls: type, args: Any) -> Any:
    options = cls()
    for item in fields(cls):
        if item.name != "_name":
            setattr(options, item.name, _get(args, item.name, getattr(options, item.name)))
    return options


def _get(args: Any, name: str, default: Any) -> Any:
    value = getattr(args, name, None)
    return default if value is None else value
