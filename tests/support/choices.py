"""Every choice of a stage by itself: whatever is registered is in, so that no test has to be told of a new one."""

from argparse import Namespace

from fairseq_plugins.attention import AttentionConfig
from fairseq_plugins.attention.config import DEFAULTS
from fairseq_plugins.attention.stages import COMPATIBILITY, KERNEL, MIXING, PROJECTION, STAGES

KERNELS = list(KERNEL.choices)
#: mixings of at most r keys
SPARSE = [name for name, choice in MIXING.choices.items() if hasattr(choice.Options, "attention_r")]
#: compatibilities whose keys are made by the query projection
SHARED = [name for name, choice in COMPATIBILITY.choices.items() if choice.shares_query_projection]
#: projections whose values are the keys
SHARED_VALUES = [name for name, choice in PROJECTION.choices.items() if "v" in choice.shares]


def with_r(options, r):
    """The options, and ``r`` if some site's mixing takes it."""
    mixings = AttentionConfig.from_options(Namespace(**options)).choices["mixing"].values()
    return {**options, "attention_r": r} if set(mixings) & set(SPARSE) else options


def each_choice(r):
    """Options by name: each choice that is no default, by itself, with ``r`` where it takes it."""
    return {
        f"{stage.name}-{name}": with_r({f"attention_{stage.name}": name}, r)
        for stage in STAGES
        for name in stage.choices
        if name != DEFAULTS[stage.name]
    }
