"""What makes a checkpoint's model the function that it is, but for its weights' values: two can be compared by it."""

from __future__ import annotations

import re
from argparse import Namespace
from contextlib import suppress
from itertools import combinations

import torch
from fairseq.models import ARCH_CONFIG_REGISTRY

from fairseq_plugins.attention.config import SITES, AttentionConfig, attention_options
from fairseq_plugins.attention.stages import STAGES
from fairseq_plugins.models.grid import FAMILY_SITES

from . import building
from .checkpoint import UNUSED, Checkpoint, Weights
from .reading import CheckpointError

#: options that no output in evaluation depends on, or only by a parameter's shape
FREE = re.compile(
    r".*dropout|.*layerdrop|.*_init|.*_path|.*max_\w*positions|quant_noise_pq\w*|checkpoint_activations|"
    r"offload_activations|min_params_to_wrap|fast_\w+|compile_layers|load_checkpoint_heads|\w+_reg_scale_factor|"
    r"attention_value_aware_chunk|char_inputs|export"
)
#: tables of words that may be one
TABLES = (
    "encoder.embed_tokens.weight",
    "encoder.sentence_encoder.embed_tokens.weight",
    "encoder.lm_head.weight",
    "decoder.embed_tokens.weight",
    "decoder.output_projection.weight",
)
#: shapes that are listed; the others are counted
LISTED = 3
#: how the name of a shape begins
SHAPE = "the shape of "


def signature(checkpoint: Checkpoint) -> dict[str, str]:
    """What is said of a model -> what it is.

    The architecture, every option that changes what it computes (those that are missing as the architecture has them),
    attention's choices at each site with the options of these choices alone, the sizes of the dictionaries, which
    tables of words are equal, and the parameters' shapes.

    Raises:
        CheckpointError: an option of attention has a value that it cannot have.
    """
    arch, options = checkpoint.architecture, checkpoint.options
    with suppress(Exception):  # an architecture of other times: its options are compared as they are
        ARCH_CONFIG_REGISTRY[arch](options)
    found = {"architecture": arch}
    for action in building.every_model_option():
        if action.dest not in attention_options() and not FREE.fullmatch(action.dest):
            found[action.option_strings[-1]] = str(getattr(options, action.dest, None) or "off")
    found.update(_attention(options, checkpoint))
    with suppress(CheckpointError):  # no model of our families
        sizes = building.vocabularies(checkpoint.weights, checkpoint.name)
        found["symbols of the source dictionary"] = str(len(sizes.source_dictionary))
        found["symbols of the target dictionary"] = str(len(sizes.target_dictionary))
    return {**found, **_tables(checkpoint.weights), **_shapes(checkpoint.weights)}


def differences(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """What two signatures do not share, each with both sides, such as ``--activation-fn relu / gelu``."""
    names = [name for name in {**first, **second} if first.get(name, "none") != second.get(name, "none")]
    said = [f"{name} {first.get(name, 'none')} / {second.get(name, 'none')}" for name in names]
    shapes = [text for text in said if text.startswith(SHAPE)]
    more = [f"and of {len(shapes) - LISTED} other parameters"] if len(shapes) > LISTED else []
    return [text for text in said if not text.startswith(SHAPE)] + shapes[:LISTED] + more


def _attention(options: Namespace, checkpoint: Checkpoint) -> dict[str, str]:
    try:
        config = AttentionConfig.from_options(options)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.name}: {error}") from None
    sites = FAMILY_SITES.get(building.family_of(checkpoint.architecture), SITES)
    found = {}
    for stage in STAGES:
        for site in sites:
            _, chosen = config.choice(stage, site)
            found[f"--attention-{stage.name} at {site}"] = config.choices[stage.name][site]
            for name, value in vars(chosen).items() if chosen is not None else ():
                if not FREE.fullmatch(name):
                    found[f"--{name.replace('_', '-')} at {site}"] = str(value)
    return found


def _tables(weights: Weights) -> dict[str, str]:
    present = [name for name in TABLES if name in weights]
    return {
        f"{one} shared with {other}": "yes" if torch.equal(weights[one], weights[other]) else "no"
        for one, other in combinations(present, 2)
    }


def _shapes(weights: Weights) -> dict[str, str]:
    return {
        f"{SHAPE}{name}": "x".join(map(str, tensor.shape)) or "a number"
        for name, tensor in weights.items()
        if not name.endswith(UNUSED)
    }
