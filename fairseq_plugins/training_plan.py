"""What a training will take: parameters, updates, memory, time and disk, before any data are fetched.

Parameters are counted and activations measured on the model itself, built on this machine; what cannot be measured
here (the speed of the devices) is taken as given and said.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from fairseq import options as fairseq_options

from fairseq_plugins.checkpoints.building import Vocabularies, build, family_of
from fairseq_plugins.errors import UserError
from fairseq_plugins.models.cache_size import CacheSize, cache_size

#: floating-point operations of training per parameter and token: 2 forward, 4 backward
FLOPS_PER_PARAMETER = 6
#: what a GPU is taken to reach where no throughput is given
ASSUMED_FLOPS = 40e12
#: target tokens of a sentence, for the activations of a translation model
SENTENCE = 32
#: tokens of the forward pass that is measured
SAMPLE_TOKENS = 256
#: parameters from which on no model is built here to measure its activations
TOO_LARGE = 2_000_000_000


class PlanError(UserError):
    """A plan that cannot be made: one sentence with the option and the remedy."""


@dataclass(frozen=True)
class Hardware:
    """The hardware of a plan; ``throughput`` in target tokens a second and device, None where it is not known."""

    devices: int
    nodes: int = 1
    kind: str = "GPU"
    throughput: float | None = None


@dataclass(frozen=True)
class DataSizes:
    """The data of a plan; a value of None is not known."""

    vocabulary: int
    train_tokens: int | None = None
    disk_gb: float | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """What a training takes; memory in bytes a device, disk in bytes, time in seconds."""

    architecture: str
    parameters: int
    batch_tokens: int
    tokens_a_device: int
    update_freq: int
    updates: int | None
    epochs: float | None
    weights_memory: float
    activations_memory: float | None
    seconds: float | None
    checkpoint_size: float
    checkpoints: int
    cache: CacheSize | None


def parse_training(words: Sequence[str]) -> Namespace:
    """The options of a ``fairseq-train`` command, with the defaults of its architecture."""
    parser = fairseq_options.get_training_parser()
    return fairseq_options.parse_args_and_arch(parser, list(words))


def plan_training(args: Namespace, sizes: DataSizes, hardware: Hardware) -> TrainingPlan:
    """Plan the training that ``args`` describe.

    Raises:
        PlanError: no transformer, roberta or transformer_lm, or an option of the model has no meaning.
    """
    kind = family_of(args.arch)
    if not kind:
        raise PlanError(f"--arch {args.arch}: plans are for transformer, roberta and transformer_lm models")
    tokens = tokens_a_device(args, kind)
    update_freq = int(args.update_freq[0])
    batch = tokens * update_freq * hardware.devices
    updates = args.max_update or None
    epochs = None
    if sizes.train_tokens:
        an_epoch = math.ceil(sizes.train_tokens / batch)
        limits = [number for number in (updates, (args.max_epoch or 0) * an_epoch) if number]
        updates = min(limits, default=None)
        epochs = updates / an_epoch if updates else None

    try:
        model = build(args, Vocabularies(sizes.vocabulary, sizes.vocabulary))
    except ValueError as error:
        raise PlanError(str(error)) from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    half = bool(args.fp16 or args.bf16)
    activations = cache = None
    if parameters < TOO_LARGE:
        cache = None if kind == "roberta" else cache_size(model, sizes.vocabulary)
        activations = tokens * activation_bytes(model, kind, args, sizes.vocabulary, half)
    seconds = None
    if updates:
        rate = hardware.throughput or (
            ASSUMED_FLOPS / (FLOPS_PER_PARAMETER * parameters) if hardware.kind == "GPU" else None
        )
        seconds = updates * batch / hardware.devices / rate if rate else None
    return TrainingPlan(
        architecture=args.arch,
        parameters=parameters,
        batch_tokens=batch,
        tokens_a_device=tokens,
        update_freq=update_freq,
        updates=updates,
        epochs=epochs,
        weights_memory=parameters * weight_bytes(half),
        activations_memory=activations,
        seconds=seconds,
        checkpoint_size=parameters * 12.0,
        checkpoints=kept_checkpoints(args),
        cache=cache,
    )


def tokens_a_device(args: Namespace, kind: str) -> int:
    """Target tokens that one device takes at once: those of --max-tokens, or of so many sentences if they are fewer."""
    limits = [int(args.max_tokens or 0), int(args.batch_size or 0) * sequence_length(args, kind)]
    return min((limit for limit in limits if limit), default=0)


def sequence_length(args: Namespace, kind: str) -> int:
    """Tokens of a training sequence: a sentence's in translation."""
    return SENTENCE if kind == "transformer" else int(args.tokens_per_sample)


def weight_bytes(half: bool) -> int:
    """Bytes a parameter: the weight, its gradient and Adam's two moments; in half precision float32 copies too."""
    return 2 + 2 + 4 + 4 + 8 if half else 4 + 4 + 8


def kept_checkpoints(args: Namespace) -> int:
    """How many checkpoints lie in the folder at the end: the last, the best and those that are kept besides."""
    epochs = 0 if args.no_epoch_checkpoints else args.keep_last_epochs
    if epochs < 0:
        epochs = args.max_epoch or 0
    updates = args.keep_interval_updates if args.save_interval_updates else 0
    return 2 + max(0, epochs) + max(0, updates)


def activation_bytes(model: Any, kind: str, args: Namespace, vocabulary: int, half: bool) -> float:
    """Bytes a token that a forward pass keeps for the backward pass, loss included, counted on the model.

    Attention dropout is left out: with it the CPU keeps matrices that a GPU's fused attention does not.
    """
    length = min(sequence_length(args, kind), 1024)
    rows = max(1, SAMPLE_TOKENS // length)
    for module in model.modules():
        for name in ("attention_dropout", "dropout_p"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
        if hasattr(module, "dropout_module") and hasattr(module, "num_heads"):
            module.dropout_module.p = 0.0
    own = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, float] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        base = tensor if tensor._base is None else tensor._base  # a view keeps all that it is a view of
        if base.data_ptr() not in own:
            size = base.numel() * base.element_size()
            halved = half and base.dtype == torch.float32 and base.size(-1) != vocabulary  # the loss stays in float32
            kept[base.data_ptr()] = size / 2 if halved else size
        return tensor

    model.train()
    tokens = torch.arange(rows * length).reshape(rows, length) % (vocabulary - 4) + 4
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = forward(model, kind, tokens)
        loss = F.log_softmax(logits.float(), dim=-1).sum()
    # The gradient of the logits is there while they still are. The graph must live until here: freed memory is reused.
    del loss
    return (sum(kept.values()) + logits.numel() * 4) / (rows * length)


def forward(model: Any, kind: str, tokens: torch.Tensor) -> torch.Tensor:
    """The logits of a training step: of every target, or in a masked language model of the masked tokens."""
    if kind == "transformer":
        return model(tokens, torch.full((tokens.size(0),), tokens.size(1)), tokens)[0]
    if kind == "roberta":
        return model(tokens, masked_tokens=torch.arange(tokens.numel()).reshape(tokens.shape) % 7 == 0)[0]
    return model.decoder(tokens)[0]


def show(plan: TrainingPlan, sizes: DataSizes, hardware: Hardware) -> list[str]:
    """The lines that tell a plan to people."""
    devices = f"{hardware.devices} {hardware.kind}(s)"
    machines = f" on {hardware.nodes} machines" if hardware.nodes > 1 else ""
    unknown = "not known here"
    epochs = f" ({plan.epochs:.1f} epochs of {sizes.train_tokens:,} tokens)" if plan.epochs else ""
    memory = gigabytes(plan.weights_memory)
    activations = "activations not measured for a model of this size"
    if plan.activations_memory is not None:
        activations = f"{gigabytes(plan.activations_memory)} for the activations of {plan.tokens_a_device:,} tokens"
        memory = gigabytes(plan.weights_memory + plan.activations_memory)
    if hardware.throughput:
        basis = f"{hardware.throughput:,.0f} tokens/s a {hardware.kind}, as given"
    elif hardware.kind == "GPU":
        basis = f"{ASSUMED_FLOPS / 1e12:.0f} TFLOP/s a GPU, which is assumed: give --throughput where it was measured"
    else:
        basis = ""
    duration = f"about {clock(plan.seconds)} at {basis}" if plan.seconds else f"{unknown}: give --throughput TOKENS/S"
    checkpoints = f"{gigabytes(plan.checkpoint_size * plan.checkpoints)} for {plan.checkpoints} checkpoints"
    data = f"{sizes.disk_gb:g} GB for data, " if sizes.disk_gb else ""
    return [
        f"plan: {plan.architecture} on {devices}{machines}",
        f"  parameters   {plan.parameters:,} with {sizes.vocabulary:,} symbols",
        f"  update       {plan.batch_tokens:,} tokens = {plan.tokens_a_device:,} x {devices} x update-freq "
        f"{plan.update_freq}",
        f"  updates      {f'{plan.updates:,}' if plan.updates else unknown}{epochs}",
        f"  memory       about {memory} a {hardware.kind}: {gigabytes(plan.weights_memory)} for weights, gradients and "
        f"Adam; {activations}",
        f"  time         {duration}",
        f"  disk         {data}{checkpoints}",
        *([f"  decoding     caches in float32 take {plan.cache}"] if plan.cache else []),
    ]


def gigabytes(size: float) -> str:
    """``1.2 GB``, or megabytes below a tenth of one."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def clock(seconds: float) -> str:
    """``2 d 5 h``, ``3 h 20 min`` or ``12 min``."""
    minutes = max(1, round(seconds / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
