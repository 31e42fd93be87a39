"""What stock fairseq does not have of a model, and its options without what stock fairseq does not know."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fairseq_plugins.attention.config import AttentionConfig
from fairseq_plugins.models.conventions import convention_defaults
from fairseq_plugins.models.scales import SCALES

from . import building
from .checkpoint import Checkpoint
from .options import as_namespace, delete_option, get_option, set_option


def not_stock(checkpoint: Checkpoint) -> list[str]:
    """A sentence about the options by which the model is none of stock fairseq's, whatever its architecture's name."""
    try:
        found = dict.fromkeys(words for config in checkpoint.configs for words in _not_stock(as_namespace(config)))
    except ValueError as error:
        return [str(error)]
    return [f"trained with {', '.join(found)}, which stock fairseq does not have"] if found else []


def _not_stock(options: Namespace) -> list[str]:
    attention, vanilla = AttentionConfig.from_options(options), AttentionConfig()
    names = [f"attention_{stage}" for stage in vanilla.choices if attention.choices[stage] != vanilla.choices[stage]]
    if attention.kv_heads != vanilla.kv_heads:
        names.append("attention_kv_heads")
    if getattr(options, "match_parameters_of", None):
        names.append("match_parameters_of")
    conventions = convention_defaults().items()
    names += [name for name, stock in conventions if getattr(options, name, None) not in (None, stock)]
    if getattr(options, "activation_fn", None) == "swish":
        names.append("activation_fn")
    return [f"--{name.replace('_', '-')} {getattr(options, name)}" for name in names]


def forget_plugin(checkpoint: Checkpoint) -> None:
    """Check that the model is vanilla in spite of any option, and delete what stock fairseq does not know.

    Raises:
        CheckpointError: an option changes the model in a way that stock fairseq does not have.
    """
    checkpoint.refuse(not_stock(checkpoint))
    for config in checkpoint.configs:
        for name in (*building.shared_option_names(), *convention_defaults(), "user_dir"):
            delete_option(config, name)
        for name, scale in SCALES.items():  # a namespace hands them to stock's layers, and ours have none
            if get_option(config, name) and not any(f".{scale}" in weight for weight in checkpoint.weights):
                set_option(config, name, False)
    cfg: Any = checkpoint.state.get("cfg")
    common = get_option(cfg, "common") if cfg is not None else None
    if common is not None:
        set_option(common, "user_dir", None)
