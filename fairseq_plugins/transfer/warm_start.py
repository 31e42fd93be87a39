"""A model that starts from the trained weights of another with other attention."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY
from torch import Tensor, nn

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, building
from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.models.grid import grid_place

from .attention_start import Settings, Started, start_attention
from .outcome import CONSTRUCTED, COPIED, DROPPED, INITIALISED, Outcome
from .shared_fit import Inputs


@dataclass
class WarmStart:
    """The result of a warm start.

    Attributes:
        model: the new model, in evaluation mode and in the checkpoint's precision.
        options: its options, complete.
        words: the model options that ``fairseq-train --arch`` needs besides to build it.
        outcomes: each parameter of the new model once, then what was dropped of the old one.
        attention: name -> how its attention started.
        change: how far the new model's outputs are from the old one's (:func:`output_change`).
    """

    model: nn.Module
    options: Namespace
    words: list[str]
    outcomes: list[Outcome]
    attention: dict[str, Started]
    change: dict[str, float]


def warm_start_checkpoint(
    source: PathLike,
    target: PathLike,
    arch: str,
    given: dict[str, Any] | None = None,
    settings: Settings | None = None,
    dictionary: PathLike | None = None,
    report: Callable[[str], None] | None = None,
) -> WarmStart:
    """Write the checkpoint of a new model that starts from a trained one.

    Args:
        source: a checkpoint of a transformer, roberta or transformer_lm, stock or ours.
        target: the checkpoint to write, for ``fairseq-train --restore-file`` or ``--finetune-from-model``; it appears
            complete or not at all.
        arch: the new architecture, one of this plugin's of the same family.
        given: options of the new model. Attention is as ``arch`` and these say; all other options that are not given
            are the pretrained model's, sizes included.
        settings: how attention starts.
        dictionary: the ``dict.txt`` of the data to go on with, to be checked against the source's vocabulary.
        report: called with a sentence of progress now and then.

    Raises:
        CheckpointError: the source cannot be read or used for this architecture, or has another vocabulary.
        UserError: an option has no meaning for the model.
    """
    checkpoint = Checkpoint.read(source)
    if dictionary is not None:
        building.check_dictionary(dictionary, checkpoint)
    started = warm_start(checkpoint, arch, given or {}, settings or Settings(), report or (lambda text: None))
    checkpoint.begin_training(started.options, started.model.to(checkpoint.dtype).state_dict())
    checkpoint.write(target)
    return started


def warm_start(
    checkpoint: Checkpoint,
    arch: str,
    given: dict[str, Any],
    settings: Settings,
    report: Callable[[str], None],
) -> WarmStart:
    """:func:`warm_start_checkpoint` of a checkpoint in memory, which is left as it is."""
    place, source = grid_place(arch), checkpoint.name
    if place is None:
        raise CheckpointError(f"the plugin has no architecture {arch}")
    old, family = building.load(checkpoint), place[0]
    if building.family_of_class(type(old)) != family:
        raise CheckpointError(
            f"{source} is a {checkpoint.architecture}: {arch} cannot start from it; choose an architecture "
            f"{building.family_of_class(type(old))}_*"
        )
    options = new_options(checkpoint, arch, given)
    if family == "roberta" and "max_positions" not in given:
        options.max_positions = building.trained_positions(old.state_dict())
    try:
        new = building.build(options, building.vocabularies(old.state_dict(), source), settings.seed)
    except ValueError as error:
        raise UserError(str(error)) from error
    new.to(next(old.parameters()).dtype).eval()
    for name, head in getattr(old, "classification_heads", {}).items():
        new.register_classification_head(name, head.out_proj.out_features, head.dense.out_features)

    attention = _start_attention(old, new, settings, report)
    _check_reinit(attention, settings, arch)
    outcomes = _start_others(old, new, attention)
    report("comparing the outputs of both models")
    words = building.command_options(arch, options, source)
    try:
        change = output_change(old, new, settings.seed)
    except ValueError as error:  # some options meet the number of heads only here
        raise UserError(str(error)) from error
    return WarmStart(new, options, words, outcomes, attention, change)


def new_options(checkpoint: Checkpoint, arch: str, given: dict[str, Any]) -> Namespace:
    """The new model's options: those given, then the architecture's attention, then the pretrained model's."""
    options = checkpoint.options
    for name in building.shared_option_names():
        vars(options).pop(name, None)
    for name, value in {**given, "arch": arch, "_name": arch}.items():
        setattr(options, name, value)
    ARCH_CONFIG_REGISTRY[arch](options)
    return options


def _start_attention(
    old: nn.Module, new: nn.Module, settings: Settings, report: Callable[[str], None]
) -> dict[str, Started]:
    """Start each attention module of the new model that the old one has too."""
    before = dict(old.named_modules())
    names = [name for name, module in new.named_modules() if isinstance(module, StagedMultiheadAttention)]
    started = {}
    for number, name in enumerate(names, start=1):
        if name in before:
            report(f"{name} ({number} of {len(names)})")
            inputs = attention_inputs(old, name)
            started[name] = start_attention(name, before[name], new.get_submodule(name), settings, inputs)
    return started


def attention_inputs(model: nn.Module, name: str) -> Inputs | None:
    """What a self-attention reads, as far as the LayerNorm before it says: gain and bias as deviation and mean.

    None where there is no LayerNorm (embeddings without one), or where queries and keys read different things.
    """
    match = re.fullmatch(r"(?P<stack>.*)\.layers\.(?P<layer>\d+)\.self_attn", name)
    if match is None:
        return None
    stack: Any = model.get_submodule(match["stack"])
    layer = int(match["layer"])
    if stack.layers[layer].normalize_before:
        norm = stack.layers[layer].self_attn_layer_norm
    elif layer:
        norm = stack.layers[layer - 1].final_layer_norm
    else:
        norm = getattr(stack, "layernorm_embedding", None)
    return None if norm is None else Inputs(norm.weight.detach(), norm.bias.detach())


def _check_reinit(attention: dict[str, Started], settings: Settings, arch: str) -> None:
    for role in settings.reinit:
        found = (f".{role}_proj." in outcome.name for started in attention.values() for outcome in started.outcomes)
        if not any(found):
            raise CheckpointError(f"--reinit {role}: {arch} has no {role} projection")


def _start_others(old: nn.Module, new: nn.Module, attention: dict[str, Started]) -> list[Outcome]:
    """Copy everything outside attention, and list what became of each parameter of both models."""
    before = old.state_dict()
    canonical = _canonical_names(old)
    decided = {outcome.name: outcome for started in attention.values() for outcome in started.outcomes}
    used: set[str] = set()
    outcomes = []
    for name, parameter in new.named_parameters():
        outcome = decided.get(name)
        if outcome is None:
            outcome = _start_one(name, parameter, before.get(name))
            if outcome.action != INITIALISED:
                used.add(canonical[name])
        outcomes.append(outcome)
    prefixes = tuple(prefix for started in attention.values() for prefix in started.used)
    fitted = [name for name, started in attention.items() if started.score_errors is not None]
    for name, parameter in old.named_parameters():
        if name not in used and not name.startswith(prefixes):
            unseen = name in [f"{attention_name}.k_proj.bias" for attention_name in fitted]
            how = "equal for all keys: softmax does not see it" if unseen else ""
            outcomes.append(Outcome(name, tuple(parameter.shape), DROPPED, how))
    return outcomes


def _canonical_names(model: nn.Module) -> dict[str, str]:
    """Name in the state dictionary -> the name under which ``named_parameters`` lists that tensor once."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    every = model.state_dict(keep_vars=True).items()
    return {name: first[id(tensor)] for name, tensor in every if id(tensor) in first}


def _start_one(name: str, parameter: Tensor, before: Tensor | None) -> Outcome:
    """Copy a parameter, or as much of it as both models have where rows or units can be told apart."""
    shape = tuple(parameter.shape)
    if before is None:
        return Outcome(name, shape, INITIALISED, "the pretrained model has none")
    if before.shape == parameter.shape:
        parameter.data.copy_(before)
        return Outcome(name, shape, COPIED)
    part = _common_part(name, parameter, before)
    if part is None:
        return Outcome(name, shape, INITIALISED, f"the pretrained one is {' x '.join(map(str, before.shape))}")
    if name.endswith("fc2.weight"):
        parameter.data.zero_()  # added units have no effect at the start
    index = tuple(slice(min(ours, theirs)) for ours, theirs in zip(parameter.shape, before.shape))
    parameter.data[index] = before[index]
    return Outcome(name, shape, CONSTRUCTED, part)


def _common_part(name: str, parameter: Tensor, before: Tensor) -> str | None:
    """What two tensors of other sizes have in common; None where sizes mean something else."""
    differing = [axis for axis, (a, b) in enumerate(zip(parameter.shape, before.shape)) if a != b]
    if re.search(r"\.fc1\.(weight|bias)$", name):
        axis, unit = 0, "units"
    elif name.endswith(".fc2.weight"):
        axis, unit = 1, "units"
    elif name.endswith(".embed_positions.weight"):
        axis, unit = 0, "rows"
    else:
        return None
    if parameter.dim() != before.dim() or differing != [axis]:
        return None
    ours, theirs = parameter.size(axis), before.size(axis)
    if ours < theirs:
        return f"the first {ours} of {theirs} {unit}"
    rest = "added ones have no effect" if unit == "units" else "added ones are initialised"
    return f"all {theirs} {unit}; {rest}"


def output_change(old: Any, new: Any, seed: int) -> dict[str, float]:
    """How far two models' outputs are apart on random sentences.

    Returns:
        ``logit``: the largest absolute change of a logit; ``kl``: the mean Kullback-Leibler divergence of the new
        distributions from the old, in nats a token.
    """
    generator = torch.Generator().manual_seed(seed)
    sides = [side for side in ("encoder", "decoder") if hasattr(old, side)]
    sentences = []
    for side in sides:
        longest = min(min(getattr(model, side).max_positions(), 16) for model in (old, new))
        sentences.append(_random_sentences(getattr(old, side).dictionary, longest, generator))
    inputs: Sequence[Tensor] = sentences
    if len(sides) == 2:
        inputs = (sentences[0], torch.full((len(sentences[0]),), sentences[0].size(1)), sentences[1])
    with torch.no_grad():
        before, after = (model(*inputs)[0].double() for model in (old, new))
    p, q = before.log_softmax(-1), after.log_softmax(-1)
    return {
        "logit": float((after - before).abs().max()),
        "kl": float((p.exp() * (p - q)).sum(-1).mean().clamp(min=0)),
    }


def _random_sentences(dictionary: Dictionary, length: int, generator: torch.Generator) -> Tensor:
    sentences = torch.randint(dictionary.nspecial, len(dictionary), (4, length), generator=generator)
    sentences[:, 0], sentences[:, -1] = dictionary.bos(), dictionary.eos()
    return sentences
