"""Models from a checkpoint's options, without its data: vocabularies and positions are counted in the weights."""

from __future__ import annotations

import re
from argparse import SUPPRESS, Action, ArgumentParser, Namespace, _StoreConstAction
from collections.abc import Collection
from copy import copy
from typing import Any

import torch
from fairseq import models as fairseq_models
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, MODEL_REGISTRY

from fairseq_plugins.dictionary import load_dictionary
from fairseq_plugins.lines import PathLike
from fairseq_plugins.models.grid import SIZES, architecture_name, is_ours
from fairseq_plugins.models.options import add_model_args
from fairseq_plugins.models.pruning import prune_as
from fairseq_plugins.models.scales import SCALES

from .checkpoint import Checkpoint, Weights
from .reading import CheckpointError


class Vocabularies:
    """What building a model asks of a task: dictionaries of the right sizes, the same object for equal sizes."""

    def __init__(self, source: int, target: int) -> None:
        self.source_dictionary = numbered_dictionary(source)
        self.target_dictionary = self.source_dictionary if target == source else numbered_dictionary(target)
        self.dictionary = self.output_dictionary = self.target_dictionary


def numbered_dictionary(size: int) -> Dictionary:
    """fairseq's four special symbols and as many others as are missing to the size."""
    made = Dictionary()
    for number in range(size - len(made)):
        made.add_symbol(f"symbol{number}")
    return made


def vocabularies(weights: Weights, source: str) -> Vocabularies:
    """The vocabularies that a model was trained with; ``source`` is its name in messages."""
    read: dict[str, int] = {}
    for name, weight in weights.items():
        # an adaptive input has one table for each band of words
        match = re.match(
            r"(encoder|decoder)\.(?:sentence_encoder\.)?embed_tokens\.(?:embeddings\.\d+\.0\.)?weight$", name
        )
        if match:
            read[match[1]] = read.get(match[1], 0) + weight.size(0)
    written = _output_rows(weights) or read.get("decoder", 0)
    found = [size for size in (read.get("encoder"), read.get("decoder"), written) if size]
    if not found:
        raise CheckpointError(f"{source}: no token embeddings (encoder.embed_tokens.weight or the like) in it")
    return Vocabularies(found[0], written or found[0])


def _output_rows(weights: Weights) -> int:
    """How many words a decoder's output layer tells apart; 0 if it has none of its own."""
    plain = weights.get("decoder.output_projection.weight")
    if plain is not None:
        return plain.size(0)
    head = [w for n, w in weights.items() if re.match(r"decoder\.adaptive_softmax\.head\.(word_proj\.)?weight$", n)]
    tails = [w for n, w in weights.items() if re.match(r"decoder\.adaptive_softmax\.tail\.\d+\.2\.weight$", n)]
    classes = len(tails) if "decoder.adaptive_softmax.head.weight" in weights else 0  # one row for each tail
    return sum(w.size(0) for w in [*head, *tails]) - classes


def check_dictionary(path: PathLike, checkpoint: Checkpoint) -> None:
    """Check that a ``dict.txt`` has as many symbols as a model was trained with, on either side of a translation.

    Raises:
        CheckpointError: it has not.
        CorpusError: it cannot be read.
    """
    tokens = vocabularies(checkpoint.weights, checkpoint.name)
    trained = {len(tokens.source_dictionary), len(tokens.target_dictionary)}
    found = load_dictionary(path)
    if family_of(checkpoint.architecture) == "roberta":
        found.add_symbol("<mask>")  # as fairseq's tasks do
    if len(found) not in trained:
        raise CheckpointError(
            f"{path} makes a vocabulary of {len(found)} symbols, but {checkpoint.name} was trained with "
            f"{' and '.join(map(str, sorted(trained)))}: binarise the data with the pretrained model's dictionary"
        )


def family_of_class(model_class: type) -> str:
    """``transformer``, ``roberta`` or ``transformer_lm``, for stock models and ours; empty for any other."""
    return next((name for name in SIZES if issubclass(model_class, MODEL_REGISTRY[name])), "")


def family_of(arch: str) -> str:
    """The family of an architecture's model; empty for any other, and for one that is not known."""
    return family_of_class(ARCH_MODEL_REGISTRY.get(arch, object))


def build(options: Namespace, tokens: Vocabularies, seed: int = 1) -> Any:
    """A model as fairseq-train would build it; the seed draws its parameters and no other random state is touched."""
    options = copy(options)
    for name in ("encoder_embed_path", "decoder_embed_path"):  # files that the weights replace anyway
        if getattr(options, name, None):
            setattr(options, name, None)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch GPUs' random states, too
        return fairseq_models.build_model(options, tokens)


def load(checkpoint: Checkpoint) -> Any:
    """The model of a checkpoint with its weights, in evaluation mode, float64 if they are and float32 otherwise.

    Raises:
        CheckpointError: fairseq does not know the architecture, or the weights are not of the model that it builds.
    """
    options, weights, arch = checkpoint.options, dict(checkpoint.weights), checkpoint.architecture
    kind = family_of(arch)
    if not kind:
        raise CheckpointError(
            f"{checkpoint.name}: its architecture {arch} is no transformer, roberta or transformer_lm"
        )
    options.load_checkpoint_heads = True
    if kind == "transformer_lm":
        for option, parameter in SCALES.items():  # which fairseq hands to no layer, whatever the options say
            if not any(parameter in name for name in weights):
                setattr(options, option, False)
    positions = trained_positions(weights)
    if kind == "roberta" and positions is not None:
        options.max_positions = positions
    tokens = vocabularies(weights, checkpoint.name)
    try:
        model = build(options, tokens)
        if kind == "roberta" and not is_ours(arch):
            layers = model.encoder.sentence_encoder.layers
            prune_as(options, layers, weights, "encoder.sentence_encoder.layers")  # as fairseq's trainer does, first
            for layer in layers.children():
                layer.self_attn._set_skip_embed_dim_check()
        if any(tensor.dtype == torch.float64 for tensor in weights.values()):
            model.double()
        model.load_state_dict(weights, strict=True, model_cfg=options)
    except Exception as error:  # whatever options of another time or place make fairseq stop with
        reason = " ".join(str(error).split()) or repr(error)
        raise CheckpointError(f"{checkpoint.name}: not the weights of its architecture {arch} ({reason})") from error
    return model.eval()


def trained_positions(weights: Weights) -> int | None:
    """How many positions RoBERTa's weights hold: the first two rows are padding's and unused."""
    tables = (w for name, w in weights.items() if name.endswith("sentence_encoder.embed_positions.weight"))
    return next((table.size(0) - 2 for table in tables), None)


def option_parser(arch: str) -> ArgumentParser:
    """A parser of the options that an architecture's model has, without defaults.

    Raises:
        CheckpointError: there is no such architecture.
    """
    if arch not in ARCH_MODEL_REGISTRY:
        raise CheckpointError(f"there is no architecture {arch}")
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    ARCH_MODEL_REGISTRY[arch].add_args(parser)
    return parser


def command_options(arch: str, options: Namespace, source: str, besides: Collection[str] = ()) -> list[str]:
    """The words that ``fairseq-train --arch`` needs besides to build a model of these options.

    Args:
        arch: an architecture.
        options: of a model of it, complete.
        source: the model's name in messages.
        besides: names of options to leave out.

    Raises:
        CheckpointError: the architecture is not known, or has a switch on that is off in the model.
    """
    if arch not in ARCH_MODEL_REGISTRY:
        raise CheckpointError(
            f"{source}: its architecture {arch} is not known here; it was trained with another plugin"
        )
    # as fairseq-train reads them: what is not given is not there, and the architecture fills it in
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    ARCH_MODEL_REGISTRY[arch].add_args(parser.add_argument_group(argument_default=SUPPRESS))
    defaults = parser.parse_args([])
    ARCH_CONFIG_REGISTRY[arch](defaults)
    words: list[str] = []
    for action in parser._actions:
        name, option = action.dest, action.option_strings[-1]
        value = getattr(options, name, None)
        if name in besides or value is None or value == getattr(defaults, name, None):
            continue
        if not isinstance(action, _StoreConstAction):
            words += [option, str(value)]
        elif value == action.const:
            words.append(option)
        elif hasattr(defaults, name):
            raise CheckpointError(f"{source}: its model has {option} off, which no option of {arch} can say")
    return words


def every_model_option() -> list[Action]:
    """The options of every family's model, each name once."""
    found: dict[str, Action] = {}
    for name in SIZES:
        for action in option_parser(architecture_name(name, "baseline", ""))._actions:
            found.setdefault(action.dest, action)
    return list(found.values())


def shared_option_names() -> list[str]:
    """The names of the options that this package adds to every family's models: attention, equal size and speed."""
    parser = ArgumentParser(add_help=False)
    add_model_args(parser)
    return [action.dest for action in parser._actions]
