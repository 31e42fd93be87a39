"""Why a model cannot be one of another runtime, said in sentences; a converter collects all before it stops."""

from __future__ import annotations

from fairseq_plugins.checkpoints import Checkpoint, Weights

from .attention_names import attention_names, networks


def rounded(checkpoint: Checkpoint) -> list[str]:
    """That the model does not compute with its weights, but with what ``--quant-noise-scalar`` makes of them."""
    if not getattr(checkpoint.options, "quant_noise_scalar", None):
        return []
    return [
        "trained with --quant-noise-scalar, with which fairseq rounds weights and activations to 8 bits whenever it "
        "runs the model: nothing else computes the same"
    ]


def with_networks(weights: Weights, reason: str) -> list[str]:
    """That attention's projections are networks; ``reason`` says why they must not be."""
    found = {name: roles for name in attention_names(weights) if (roles := networks(weights, name))}
    if not found:
        return []
    name, roles = next(iter(found.items()))
    others = f" and those of {len(found) - 1} other modules" if len(found) > 1 else ""
    is_network = "projections", "are networks"
    if len(roles) == 1:
        is_network = "projection", "is a network"
    of, networks_are = is_network
    return [f"the {', '.join(roles)} {of} of {name} {networks_are} (by --attention-projection){others}: {reason}"]
